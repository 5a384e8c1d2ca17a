#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/models/decoder.h"
#include "ssa/models/model.h"

namespace ssa {

/// Values of a sub-pixel.
inline constexpr int64_t kPixelValues = 256;

/// Autoregressive model of a picture, sub-pixel by sub-pixel: row by row, pixel by pixel, red
/// before green before blue. Slot t predicts sub-pixel t from those before it. Its input is the
/// embedding of sub-pixel t-1, scaled by √width; that of slot 0 is a start vector, which says how
/// the picture was augmented: the sum of a row for each kind of augmentation (Jun et al. 2020).
/// Without augmentation there is one learned start vector. The decoder has a learned 2-D position
/// bias over rows and sub-pixel columns. Parameter names and shapes: docs/reference/weights.md.
class ImageDecoder : public Model {
 public:
  /// `grid` is that of sub-pixels. Throws ConfigError if the config asks for what this model does
  /// not have.
  ImageDecoder(const ModelConfig& model, const PositionShape& grid,
               std::span<const Augmentation> augmentations, ParameterStore& store);

  /// Fields, i32: `ids` (B, N), the sub-pixels; `inputs` (B, N), what slots read: 256 + b at slot 0
  /// of example b, then the sub-pixels but the last; start_field() of each augmentation (B), its
  /// variant. → (B·N) nats
  Variable losses(const ModelInput& input, const nn::Context& context) const override;
  /// "start.rotation": the field of augmentation number `kind`; "start" if there is none.
  std::string start_field(size_t kind) const;
  /// The losses without a gradient.
  Tensor predictions(const ModelInput& input) const override;
  /// The classes are the values of a sub-pixel.
  Tensor ranked_predictions(const ModelInput& input, int64_t most,
                            LikelyClasses& likely) const override;

  /// A cache for `images` pictures that are read side by side.
  DecoderCache make_cache(int64_t images) const;
  /// Bytes of the keys and values in it.
  int64_t cache_bytes(int64_t images) const;
  /// Reads the start vectors of pictures that are not augmented. Scores of the first sub-pixel:
  /// (images, 256) wide(dtype).
  Tensor read_start(DecoderCache& cache) const;
  /// Reads the next `count` sub-pixels of every picture, (images, count). Scores of the one behind.
  Tensor read(std::span<const int32_t> values, int64_t count, DecoderCache& cache) const;

  void set_activation_checkpointing(Checkpointing what) {
    decoder_->set_activation_checkpointing(what);
  }
  /// Dtype of activations and matrix products; that of the parameters at first.
  void set_precision(DType dtype) { precision_ = dtype; }

 private:
  /// Embeddings of sub-pixel values with the start vector of each example behind them.
  Variable table_with(const std::vector<Tensor>& starts) const;
  Variable embedded(const Variable& table, const Tensor& inputs) const;
  Variable hidden(const ModelInput& input, const nn::Context& context) const;
  Variable losses_of(const Variable& hidden, const ModelInput& input) const;
  Tensor scores(const Variable& hidden) const;

  ModelConfig model_;
  PositionShape grid_;
  std::vector<Augmentation> augmentations_;
  Device device_;
  DType precision_;
  Variable embedding_;              // (256, width)
  std::vector<Variable> starts_;    // (variants, width) for each augmentation, or one row
  std::optional<Decoder> decoder_;  // always there, built after the embeddings
  ops::LinearMap output_;
};

}  // namespace ssa
