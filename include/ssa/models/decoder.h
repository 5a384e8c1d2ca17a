#pragma once

#include <optional>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/models/decoder_cache.h"
#include "ssa/nn/layers.h"

namespace ssa {

/// One pre-norm block: x + attention(norm(x)), then x + ffn(norm(x)).
class DecoderBlock {
 public:
  /// `relative` is the reach of a learned 2-D position bias; `shared` its table, if layers share
  /// it.
  DecoderBlock(ParameterStore& store, const std::string& name, const ModelConfig& model,
               const nn::RelativeReach& relative, const std::optional<nn::RelativeTable>& shared);
  Variable operator()(const Variable& x, const nn::AttentionInput& input,
                      const nn::Context& context, int64_t layer, Checkpointing checkpointing) const;

 private:
  nn::LayerNorm attention_norm_;
  nn::SelfAttention attention_;
  nn::LayerNorm ffn_norm_;
  nn::FeedForward ffn_;
  double dropout_;
};

/// A grid whose cells the positions of a sequence number, row by row. Of pictures these are
/// sub-pixels.
struct PositionShape {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t channels = 1;  ///< so many neighbours in a row are a pixel
};

/// The causal transformer between an embedding and an output matrix: pre-norm blocks with ALiBi or
/// a learned 2-D bias, and an optional final norm. Parameters `blocks.{i}.*` and `final_norm.*`,
/// and in front of them `relative_bias` if all layers share that table.
class Decoder {
 public:
  /// `grid` is given for model.position relative_2d. Throws ConfigError if only one of them is.
  Decoder(const ModelConfig& model, const PositionShape& grid, ParameterStore& store);

  /// x (B·N, width) of B sequences → the same size. `plans` has one per layer. Dropout acts on x
  /// first; its place is 0.
  Variable operator()(const Variable& x, int64_t batch, const std::vector<PlanTensors>& plans,
                      const nn::Context& context) const;

  /// A cache for sequences of up to `capacity` positions, in this precision.
  DecoderCache make_cache(int64_t capacity, int64_t sequences, DType precision) const;
  /// The last of the `count` positions that follow those in the cache, for each sequence:
  /// x (B·count, width) → (B, width). No gradient.
  Variable read(const Variable& x, int64_t count, DecoderCache& cache) const;

  /// What is computed again in the backward pass instead of being kept.
  void set_activation_checkpointing(Checkpointing what) { checkpointing_ = what; }

 private:
  nn::RelativeReach relative_reach() const;
  nn::AttentionInput attention_input(int64_t batch, int64_t length) const;
  Variable normed(const Variable& x) const;

  ModelConfig model_;
  PositionShape grid_;
  int64_t grid_channels_;  // positions in a cell of the learned 2-D bias: 1, or those of a pixel
  Device device_;
  Checkpointing checkpointing_ = Checkpointing::none;
  std::vector<DecoderBlock> blocks_;
  std::vector<nn::LayerNorm> final_norm_;  // none or one
  Tensor alibi_slopes_;
};

/// Initial values of embeddings and output matrices: normal, standard deviation 1/√width.
Init embedding_init(int64_t width);

}  // namespace ssa
