#include "ssa/models/decoder_lm.h"

#include <cmath>

namespace ssa {

namespace {

Activation activation_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::gelu:
      return Activation::gelu;
    case ActivationKind::relu:
      return Activation::relu;
    case ActivationKind::elu:
      return Activation::elu;
  }
  return Activation::gelu;
}

void require_buildable(const ModelConfig& model) {
  if (model.embedding.kind != EmbeddingKind::plain) {
    throw ConfigError("model.embedding.kind: adaptive is not built yet; use plain");
  }
  if (model.position == PositionKind::relative_2d) {
    throw ConfigError("model.position: relative_2d is not built yet; use alibi or none");
  }
}

}  // namespace

DecoderBlock::DecoderBlock(ParameterStore& store, const std::string& name, const ModelConfig& model)
    : attention_norm_(store, name + ".attention_norm", model.width),
      attention_(store, name + ".attention", model.width, model.heads, model.attention_dropout),
      ffn_norm_(store, name + ".ffn_norm", model.width),
      ffn_(store, name + ".ffn", model.width, model.ffn_width, activation_of(model.activation),
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
  if (checkpointing == Checkpointing::attention) return forward(checkpoint(attend, x));
  return checkpoint([=](const Variable& in) { return forward(attend(in)); }, x);
}

DecoderLm::DecoderLm(const ModelConfig& model, int64_t vocabulary, ParameterStore& store)
    : model_(model), device_(store.device()), precision_(store.dtype()) {
  require_buildable(model);
  const double embedding_spread = 1.0 / std::sqrt(static_cast<double>(model.width));
  embedding_ =
      store.add("embedding.weight", {vocabulary, model.width}, Init::normal(embedding_spread));
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    blocks_.emplace_back(store, fmt::format("blocks.{}", layer), model);
  }
  if (model.final_norm) final_norm_.emplace_back(store, "final_norm", model.width);
  const Variable output =
      model.embedding.tie_weights
          ? embedding_
          : store.add("output.weight", {vocabulary, model.width}, Init::normal(embedding_spread));
  output_ = {output, Variable()};
  if (model.position == PositionKind::alibi) {
    alibi_slopes_ = nn::alibi_slopes(model.heads, device_);
  }
}

Variable DecoderLm::hidden(const Input& input, const nn::Context& context) const {
  SSA_CHECK(input.plans && static_cast<int64_t>(input.plans->size()) == model_.layers,
            "decoder: {} plans for {} layers", input.plans ? input.plans->size() : 0,
            model_.layers);
  const double scale = std::sqrt(static_cast<double>(model_.width));
  Variable x = ops::dropout(ops::embedding(embedding_, input.ids, scale, precision_),
                            context.dropout(model_.dropout, RngPurpose::dropout, 0));
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    const nn::AttentionInput attention{
        input.batch, input.length, (*input.plans)[static_cast<size_t>(layer)], true, alibi_slopes_};
    x = blocks_[static_cast<size_t>(layer)](x, attention, context, layer, checkpointing_);
  }
  return final_norm_.empty() ? x : final_norm_.front()(x);
}

Variable DecoderLm::logits(const Input& input, const nn::Context& context) const {
  return ops::wide_linear(hidden(input, context), output_);
}

Variable DecoderLm::losses(const Input& input, const Tensor& targets,
                           const nn::Context& context) const {
  return ops::cross_entropy(logits(input, context), targets);
}

}  // namespace ssa
