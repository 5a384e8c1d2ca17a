#include "ssa/models/decoder_lm.h"

#include <cmath>

#include "ssa/backend/counting.h"

#include "models/likely_classes.h"

namespace ssa {

DecoderLm::DecoderLm(const ModelConfig& model, int64_t vocabulary, ParameterStore& store)
    : model_(model), vocabulary_(vocabulary), device_(store.device()), precision_(store.dtype()) {
  build_input(vocabulary, store);
  decoder_.emplace(model, PositionShape{}, store);
  build_output(vocabulary, store);
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
  SSA_CHECK(input.plans, "decoder: no plans");
  return (*decoder_)(embedded(input.ids), input.batch, *input.plans, context);
}

Variable DecoderLm::scores(const Variable& x) const {
  const VocabularyPart part;
  return adaptive_output_ ? Variable(adaptive_output_->log_probabilities(x.value()))
                          : ops::wide_linear(x, output_);
}

Variable DecoderLm::logits(const Input& input, const nn::Context& context) const {
  return scores(hidden(input, context));
}

int64_t DecoderLm::cache_bytes(int64_t capacity) const {
  return 2 * model_.layers * capacity * model_.width * static_cast<int64_t>(size_of(precision_));
}

Tensor DecoderLm::read(const std::vector<int32_t>& tokens, DecoderCache& cache) const {
  std::vector<int32_t> ids;
  for (int64_t m = 0; m < cache.sub_models(); ++m)
    ids.insert(ids.end(), tokens.begin(), tokens.end());
  return read_each(ids, std::ssize(tokens), cache);
}

Tensor DecoderLm::read_each(std::span<const int32_t> tokens, int64_t count,
                            DecoderCache& cache) const {
  const NoGrad guard;
  SSA_CHECK(count > 0, "decoder: no token to read");
  SSA_CHECK(std::ssize(tokens) == count * cache.sub_models(),
            "decoder: {} tokens for {} sub-models of {}", tokens.size(), cache.sub_models(), count);
  const std::vector<int32_t> ids(tokens.begin(), tokens.end());
  return scores(decoder_->read(embedded(this->tokens(ids)), count, cache)).value();
}

Variable DecoderLm::losses(const Input& input, const Tensor& targets,
                           const nn::Context& context) const {
  return losses_of(hidden(input, context), targets, context);
}

namespace {

/// From here on the logits of all tokens would be most of a step's memory. Computing those of a few
/// tokens at a time costs one more product with the output matrix.
constexpr int64_t kLargeVocabulary = 4096;

}  // namespace

Variable DecoderLm::losses_of(const Variable& x, const Tensor& targets,
                              const nn::Context& context) const {
  if (!adaptive_output_ && output_.weights.out() < kLargeVocabulary) {
    return ops::cross_entropy(scores(x), targets);
  }
  const VocabularyPart part;
  if (!adaptive_output_) return ops::linear_cross_entropy(x, output_.weights, targets);
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

Tensor DecoderLm::ranked_predictions(const ModelInput& input, int64_t most,
                                     LikelyClasses& likely) const {
  const NoGrad guard;
  const Tensor& ids = input.field("ids");
  const Shape flat{ids.numel()};
  const Tensor targets = input.field("targets").view(flat);
  const Variable x = hidden({ids.dim(0), ids.dim(1), ids.view(flat), &input.plans}, {});
  likely = likely_classes(x.value(), targets, most, [&](const Tensor& rows) {
    Tensor logs = scores(Variable(rows)).value();
    if (!adaptive_output_) ops::log_softmax(logs);
    return logs;
  });
  return losses_of(x, targets, {}).value();
}

bool DecoderLm::reads_on_host(std::string_view /*field*/) const {
  return token_device() != device_;
}

}  // namespace ssa
