#include "ssa/models/decoder_lm.h"

#include <cmath>

#include "ssa/backend/counting.h"
#include "ssa/core/trace_range.h"

namespace ssa {

namespace {

Activation activation_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::gelu:
      return Activation::gelu;
    case ActivationKind::gelu_tanh:
      return Activation::gelu_tanh;
    case ActivationKind::relu:
      return Activation::relu;
    case ActivationKind::elu:
      return Activation::elu;
  }
  return Activation::gelu;
}

Init embedding_init(int64_t width) {
  return Init::normal(1.0 / std::sqrt(static_cast<double>(width)));
}

void require_buildable(const ModelConfig& model) {
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
  // Dropout places 1 + 2·layer and 2 + 2·layer; the embedding has place 0.
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

DecoderLm::DecoderLm(const ModelConfig& model, int64_t vocabulary, ParameterStore& store)
    : model_(model), device_(store.device()), precision_(store.dtype()) {
  require_buildable(model);
  build_input(vocabulary, store);
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    blocks_.emplace_back(store, fmt::format("blocks.{}", layer), model);
  }
  if (model.final_norm) final_norm_.emplace_back(store, "final_norm", model.width);
  build_output(vocabulary, store);
  if (model.position == PositionKind::alibi) {
    alibi_slopes_ = nn::alibi_slopes(model.heads, device_);
  }
}

void DecoderLm::build_input(int64_t vocabulary, ParameterStore& store) {
  const EmbeddingConfig& embedding = model_.embedding;
  if (embedding.kind == EmbeddingKind::plain) {
    embedding_ =
        store.add("embedding.weight", {vocabulary, model_.width}, embedding_init(model_.width));
    return;
  }
  adaptive_input_.emplace(
      store, "embedding",
      nn::vocabulary_bands(vocabulary, embedding.cutoffs, model_.width, embedding.factor),
      model_.width);
}

void DecoderLm::build_output(int64_t vocabulary, ParameterStore& store) {
  const EmbeddingConfig& embedding = model_.embedding;
  if (adaptive_input_) {
    adaptive_output_.emplace(
        store, "output", *adaptive_input_, model_.width,
        nn::AdaptiveSoftmaxOptions{embedding.tie_weights, embedding.tie_projections,
                                   model_.softmax_dropout});
    return;
  }
  const Variable output =
      embedding.tie_weights
          ? embedding_
          : store.add("output.weight", {vocabulary, model_.width}, embedding_init(model_.width));
  output_ = {output, Variable()};
}

Device DecoderLm::token_device() const {
  return adaptive_input_ && !is_host(device_) ? Device::cpu : device_;
}

Tensor DecoderLm::tokens(const std::vector<int32_t>& values) const {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, token_device(),
                      MemoryCategory::data);
}

Variable DecoderLm::embedded(const Tensor& ids) const {
  const VocabularyPart part;
  const double scale = std::sqrt(static_cast<double>(model_.width));
  return adaptive_input_ ? (*adaptive_input_)(ids, scale, precision_)
                         : ops::embedding(embedding_, ids, scale, precision_);
}

Variable DecoderLm::hidden(const Input& input, const nn::Context& context) const {
  SSA_CHECK(input.plans && static_cast<int64_t>(input.plans->size()) == model_.layers,
            "decoder: {} plans for {} layers", input.plans ? input.plans->size() : 0,
            model_.layers);
  Variable x =
      ops::dropout(embedded(input.ids), context.dropout(model_.dropout, RngPurpose::dropout, 0));
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    const TraceRange range("layer", layer);
    nn::AttentionInput attention{input.batch, input.length,
                                 (*input.plans)[static_cast<size_t>(layer)], true, alibi_slopes_};
    attention.materialized = model_.attention == AttentionKind::materialized;
    x = blocks_[static_cast<size_t>(layer)](x, attention, context, layer, checkpointing_);
  }
  return normed(x);
}

Variable DecoderLm::normed(const Variable& x) const {
  return final_norm_.empty() ? x : final_norm_.front()(x);
}

Variable DecoderLm::scores(const Variable& x) const {
  const VocabularyPart part;
  return adaptive_output_ ? Variable(adaptive_output_->log_probabilities(x.value()))
                          : ops::wide_linear(x, output_);
}

Variable DecoderLm::logits(const Input& input, const nn::Context& context) const {
  return scores(hidden(input, context));
}

DecoderCache DecoderLm::make_cache(int64_t capacity, int64_t sub_models) const {
  std::vector<nn::KeyValueCache> layers;
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    layers.emplace_back(sub_models, capacity, model_.heads, model_.width / model_.heads, precision_,
                        device_);
  }
  return DecoderCache(sub_models, std::move(layers));
}

Tensor DecoderLm::read(const std::vector<int32_t>& tokens, DecoderCache& cache) const {
  const NoGrad guard;
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t sub_models = cache.sub_models();
  SSA_CHECK(count > 0, "decoder: no token to read");
  std::vector<int32_t> ids;
  for (int64_t m = 0; m < sub_models; ++m) ids.insert(ids.end(), tokens.begin(), tokens.end());
  Variable x = embedded(this->tokens(ids));
  for (int64_t layer = 0; layer < model_.layers; ++layer) {
    const nn::CachedAttention cached{&cache.layer(layer), cache.parts(layer, count)};
    const nn::AttentionInput attention{sub_models, count, {}, true, alibi_slopes_, &cached};
    x = blocks_[static_cast<size_t>(layer)](x, attention, {}, layer, Checkpointing::none);
  }
  const Tensor last = Tensor::from(std::vector<int32_t>{static_cast<int32_t>(count - 1)}, {1},
                                   device_, MemoryCategory::data);
  return scores(ops::gather_rows(normed(x), sub_models, last)).value();
}

Variable DecoderLm::losses(const Input& input, const Tensor& targets,
                           const nn::Context& context) const {
  if (!adaptive_output_) return ops::cross_entropy(logits(input, context), targets);
  const Variable x = hidden(input, context);
  const VocabularyPart part;
  // The dropout places after those of the blocks.
  return adaptive_output_->losses(x, targets, context, 1 + 2 * model_.layers);
}

Variable DecoderLm::losses(const ModelInput& input, const nn::Context& context) const {
  const Tensor &ids = input.field("ids"), &targets = input.field("targets");
  const Shape flat{ids.numel()};
  return losses({ids.dim(0), ids.dim(1), ids.view(flat), &input.plans}, targets.view(flat),
                context);
}

Tensor DecoderLm::predictions(const ModelInput& input) const {
  const NoGrad guard;
  return losses(input, nn::Context{}).value();
}

bool DecoderLm::reads_on_host(std::string_view /*field*/) const {
  return token_device() != device_;
}

}  // namespace ssa
