#include "ssa/models/decoder.h"

#include <cmath>

#include "ssa/core/trace_range.h"
#include "ssa/models/activation.h"

namespace ssa {

Init embedding_init(int64_t width) {
  return Init::normal(1.0 / std::sqrt(static_cast<double>(width)));
}

DecoderBlock::DecoderBlock(ParameterStore& store, const std::string& name, const ModelConfig& model,
                           const nn::RelativeReach& relative,
                           const std::optional<nn::RelativeTable>& shared)
    : attention_norm_(store, name + ".attention_norm", model.width),
      attention_(store, name + ".attention", model.width, model.heads, model.attention_dropout,
                 relative, shared),
      ffn_norm_(store, name + ".ffn_norm", model.width),
      ffn_(store, name + ".ffn", model.width, model.ffn_width, to_activation(model.activation),
           model.activation_dropout),
      dropout_(model.dropout) {}

Variable DecoderBlock::operator()(const Variable& x, const nn::AttentionInput& input,
                                  const nn::Context& context, int64_t layer,
                                  Checkpointing checkpointing) const {
  // Places 1 + 2·layer and 2 + 2·layer; the embedding's is 0.
  const auto residual = [this, context](const Variable& base, int64_t place) {
    return nn::Residual{base, context.dropout(dropout_, RngPurpose::dropout, place)};
  };
  const auto attend = [this, residual, input, context, layer](const Variable& in) {
    return attention_(residual(in, 1 + 2 * layer), attention_norm_, input, context, layer);
  };
  const auto forward = [this, residual, context, layer](const Variable& attended) {
    return ffn_(residual(attended, 2 + 2 * layer), ffn_norm_, context, layer);
  };
  if (!grad_enabled() || checkpointing == Checkpointing::none) return forward(attend(x));
  if (checkpointing == Checkpointing::attention) return forward(recompute(attend, x));
  return recompute([=](const Variable& in) { return forward(attend(in)); }, x);
}

Decoder::Decoder(const ModelConfig& model, const PositionShape& grid, ParameterStore& store)
    : model_(model),
      grid_(grid),
      grid_channels_(model.relative_columns == RelativeColumns::sub_pixels ? 1 : grid.channels),
      device_(store.device()) {
  const bool relative = model.position == PositionKind::relative_2d;
  if (relative && grid.rows == 0) {
    throw ConfigError("model.position: relative_2d is for pictures; use alibi or none");
  }
  if (!relative && grid.rows > 0) {
    throw ConfigError("model.position: a model of pictures takes relative_2d");
  }
  SSA_CHECK(grid.channels > 0 && grid.columns % grid.channels == 0,
            "decoder: rows of {} positions are not pixels of {}", grid.columns, grid.channels);
  const nn::RelativeReach reach = relative_reach();
  std::optional<nn::RelativeTable> shared;
  if (relative && model.relative_shared) shared.emplace(store, "relative_bias", model.heads, reach);
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    blocks_.emplace_back(store, fmt::format("blocks.{}", layer), model, reach, shared);
  }
  if (model.final_norm) final_norm_.emplace_back(store, "final_norm", model.width);
  if (model.position == PositionKind::alibi) {
    alibi_slopes_ = nn::alibi_slopes(model.heads, device_);
  }
}

nn::RelativeReach Decoder::relative_reach() const {
  const bool channels_differ = model_.relative_columns == RelativeColumns::pixels_and_channels;
  return {grid_.rows, grid_.columns / grid_channels_, model_.relative_rows == RelativeRows::causal,
          channels_differ ? grid_channels_ : 1};
}

nn::AttentionInput Decoder::attention_input(int64_t batch, int64_t length) const {
  nn::AttentionInput input{batch, length, {}, true, alibi_slopes_};
  input.materialized = model_.attention == AttentionKind::materialized;
  input.grid_columns = grid_.columns / grid_channels_;
  input.grid_channels = grid_channels_;
  return input;
}

Variable Decoder::operator()(const Variable& embedded, int64_t batch,
                             const std::vector<PlanTensors>& plans,
                             const nn::Context& context) const {
  SSA_CHECK(static_cast<int64_t>(plans.size()) == model_.layers, "decoder: {} plans for {} layers",
            plans.size(), model_.layers);
  Variable x = ops::dropout(embedded, context.dropout(model_.dropout, RngPurpose::dropout, 0));
  nn::AttentionInput input = attention_input(batch, x.dim(0) / batch);
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    const TraceRange range("layer", layer);
    input.plan = plans[static_cast<size_t>(layer)];
    x = blocks_[static_cast<size_t>(layer)](x, input, context, layer, checkpointing_);
  }
  return normed(x);
}

Variable Decoder::normed(const Variable& x) const {
  return final_norm_.empty() ? x : final_norm_.front()(x);
}

DecoderCache Decoder::make_cache(int64_t capacity, int64_t sequences, DType precision) const {
  std::vector<nn::KeyValueCache> layers;
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    layers.emplace_back(sequences, capacity, model_.heads, model_.width / model_.heads, precision,
                        device_);
  }
  return DecoderCache(sequences, std::move(layers));
}

Variable Decoder::read(const Variable& embedded, int64_t count, DecoderCache& cache) const {
  const NoGrad guard;
  Variable x = embedded;
  nn::AttentionInput input = attention_input(cache.sub_models(), count);
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    const nn::CachedAttention cached{&cache.layer(layer), cache.parts(layer, count)};
    input.cached = &cached;
    x = blocks_[static_cast<size_t>(layer)](x, input, {}, layer, Checkpointing::none);
  }
  const Tensor last = Tensor::from(std::vector<int32_t>{static_cast<int32_t>(count - 1)}, {1},
                                   device_, MemoryCategory::data);
  return ops::gather_rows(normed(x), cache.sub_models(), last);
}

}  // namespace ssa
