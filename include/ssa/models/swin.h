#pragma once

#include <optional>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/models/model.h"
#include "ssa/sampling/source_plan.h"

namespace ssa {

/// Sizes of a Swin transformer; those of Swin-T unless said otherwise.
struct SwinShape {
  int64_t image_size = 224;  ///< side of an image, in pixels
  int64_t patch = 4;         ///< side of a patch, in pixels
  int64_t embed_width = 96;  ///< width of the first stage; it doubles from stage to stage
  std::vector<int64_t> depths = {2, 2, 6, 2};  ///< blocks of each stage
  std::vector<int64_t> heads = {3, 6, 12, 24};
  int64_t window = 7;  ///< side of a window, in cells of the map
  int64_t ffn_ratio = 4;
  double drop_path = 0.2;  ///< of the last block; it grows linearly from 0 in the first
  int64_t classes = 1000;
  double label_smoothing = 0.1;  ///< in training
};

/// A stage: blocks on a map of side² cells. Each stage halves the side and doubles the width.
struct SwinStageShape {
  int64_t side = 0;
  int64_t width = 0;
  int64_t heads = 0;
  int64_t depth = 0;
  int64_t window = 0;       ///< that of the shape, or the side where the map is smaller
  int64_t first_block = 0;  ///< blocks are numbered through all stages
};

/// The stages of a shape. Throws ConfigError, with the valid neighbours, for sizes that do not
/// divide each other.
std::vector<SwinStageShape> swin_stages(const SwinShape& shape);

/// The plan of each block. Dense attention over windows is a plan as well, with the whole window as
/// its only sub-window. Windows of every second block of a stage are shifted by half a window,
/// unless one window covers the map. The last ssa.layers (0: all) of the blocks that can be sampled
/// are; blocks whose window the map has shrunk cannot. With ssa.kind local each of their windows
/// has ssa.windows square sub-windows, and σ is a fraction of the window's side. With unbiased each
/// window draws its own sources for all its targets, without ssa.drop of its cells. Throws
/// ConfigError like swin_stages() and validate(PlanSpec).
std::vector<PlanSpec> swin_plan_specs(const SwinShape& shape, const SsaConfig& ssa);

/// Half the map's sides, twice its width: the four cells of each 2×2 square side by side, a norm,
/// and a linear map without bias. Parameters `NAME.merge_norm.*` and `NAME.merge.weight`.
class PatchMerging {
 public:
  /// `side` and `width` are those before merging.
  PatchMerging(ParameterStore& store, const std::string& name, int64_t side, int64_t width);
  /// x (B·side², C) → (B·side²/4, 2C)
  Variable operator()(const Variable& x, int64_t batch) const;

 private:
  Tensor cells_;  // (side²) i32: the cells of each square, column by column
  nn::LayerNorm norm_;
  ops::LinearMap map_;
};

/// One pre-norm block of a stage. Drop path leaves out either branch for whole images at random.
class SwinBlock {
 public:
  SwinBlock(ParameterStore& store, const std::string& name, const SwinStageShape& stage,
            int64_t ffn_ratio, double drop_path);
  /// x (B·N, C) → the same size. `block` numbers the places of drop path.
  Variable operator()(const Variable& x, const nn::AttentionInput& input,
                      const nn::Context& context, int64_t block, Checkpointing checkpointing) const;

 private:
  nn::LayerNorm attention_norm_;
  nn::SelfAttention attention_;
  nn::LayerNorm ffn_norm_;
  nn::FeedForward ffn_;
  double drop_path_;
};

/// Image classifier of Liu et al. (2021, "Swin Transformer"): patches, a linear embedding with a
/// norm, stages of blocks whose attention stays inside (shifted) windows with a learned 2-D bias,
/// merging of patches between stages, a norm, the mean over the map, a linear head. Parameter names
/// and shapes: docs/reference/weights.md.
class Swin : public Model {
 public:
  Swin(const SwinShape& shape, ParameterStore& store);

  /// Fields: `images` (B, S, S, 3), RGB as u8, or normalised as wide(data); `labels` (B, K) i32 and
  /// `weights` (B, K) wide(data), the classes of an image and their shares, which add up to 1.
  /// → (B) nats, with label smoothing in training.
  Variable losses(const ModelInput& input, const nn::Context& context) const override;
  /// Log-probabilities of the classes, (B·classes).
  Tensor predictions(const ModelInput& input) const override;
  /// (B, classes) wide(data)
  Variable logits(const ModelInput& input, const nn::Context& context) const;

  void set_activation_checkpointing(Checkpointing what) { checkpointing_ = what; }
  /// Dtype of activations and matrix products; that of the parameters at first.
  void set_precision(DType dtype) { precision_ = dtype; }

 private:
  struct Stage {
    SwinStageShape shape;
    std::optional<PatchMerging> merging;  // none in the first stage
    std::vector<SwinBlock> blocks;
  };
  Variable patch_rows(const Tensor& images) const;

  SwinShape shape_;
  DType precision_;
  Checkpointing checkpointing_ = Checkpointing::none;
  std::optional<nn::Linear> patch_embedding_;  // (embed_width, 3·patch²)
  std::optional<nn::LayerNorm> patch_norm_;
  std::vector<Stage> stages_;
  std::optional<nn::LayerNorm> final_norm_;
  std::optional<nn::Linear> head_;
};

}  // namespace ssa
