#include "ssa/models/cost.h"

#include "ssa/backend/counting.h"
#include "ssa/models/decoder_lm.h"
#include "ssa/models/decoder_plans.h"

namespace ssa {

int64_t vocabulary_size(const Config& config) {
  if (config.task != TaskKind::byte_lm && config.task != TaskKind::word_lm) {
    throw ConfigError(
        "task: only byte_lm and word_lm are built so far; the other tasks are in the schema");
  }
  const int64_t tokens = configured_vocabulary(config);
  if (tokens > 0) return tokens;
  throw ConfigError(
      "data.vocabulary: nothing is published for data.name \"{}\" (only for wikitext103 and "
      "wikitext2); set data.vocabulary to the number of tokens that `ssa-data prepare` counted",
      config.data.name);
}

namespace {

/// The forward pass of one sequence. What vocabularies cost is left out, so that any would do, and
/// how attention is computed makes no difference.
Tally count_forward(const Config& config, const std::vector<PlanSpec>& specs) {
  ModelConfig settings = config.model;
  settings.embedding.kind = EmbeddingKind::plain;
  settings.attention = AttentionKind::fused;
  settings.position = PositionKind::none;
  const int64_t length = config.data.length;
  Count count;
  const NoGrad guard;
  ParameterStore store(Device::counting, DType::f32, 0);
  const DecoderLm model(settings, 1, store);
  const auto integers = [](const Shape& shape) {
    return Tensor::empty(shape, DType::i32, Device::counting, MemoryCategory::data);
  };
  std::vector<PlanTensors> plans;
  for (const PlanSpec& spec : specs) {
    const PlanShape shape = plan_shape(spec);
    plans.push_back({integers({shape.windows, shape.targets_per_window}),
                     integers({shape.windows, shape.sources_per_window})});
  }
  model.logits({1, length, integers({length}), &plans}, {});
  return count.tally();
}

}  // namespace

TrainingCost training_cost(const Config& config) {
  TrainingCost cost;
  const int64_t layers = config.model.layers, length = config.data.length;
  const Tally sparse = count_forward(config, decoder_plan_specs(config.ssa, layers, length));
  const Tally dense = count_forward(config, dense_plan_specs(layers, length));
  const double products = dense.product_flop();
  const auto tokens = static_cast<double>(length);
  cost.forward_flop_per_token = (products + sparse.attention_flop) / tokens;
  cost.dense_forward_flop_per_token = (products + dense.attention_flop) / tokens;
  const auto steps = static_cast<double>(config.train.steps);
  const double sparse_part = static_cast<double>(finetune_start(config)) / steps;
  const double average = sparse_part * cost.forward_flop_per_token +
                         (1 - sparse_part) * cost.dense_forward_flop_per_token;
  cost.compute_ratio = average / cost.dense_forward_flop_per_token;
  cost.train_exaflop = average * steps * static_cast<double>(config.train.batch_size) *
                       static_cast<double>(length) * 1e-18;
  return cost;
}

int64_t parameter_count(const Config& config) {
  ParameterStore store = ParameterStore::dry();
  const DecoderLm model(config.model, vocabulary_size(config), store);
  return store.count();
}

}  // namespace ssa
