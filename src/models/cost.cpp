#include "ssa/models/cost.h"

#include <cmath>

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

double sampled_fraction(const PlanSpec& spec) {
  switch (spec.kind) {
    case PlanKind::local_1d:
      return 1.0 / static_cast<double>(spec.windows);
    case PlanKind::unbiased:
      return std::round((1.0 - spec.drop) * static_cast<double>(spec.positions)) /
             static_cast<double>(spec.positions);
    default:
      return 1.0;
  }
}

namespace {

double forward_flop(const ModelConfig& model, const std::vector<PlanSpec>& specs) {
  const auto width = static_cast<double>(model.width);
  const auto hidden = static_cast<double>(model.ffn_width);
  double total = 0;
  for (const PlanSpec& spec : specs) {
    total += 8 * width * width + 4 * width * hidden +
             4 * width * static_cast<double>(spec.positions) * sampled_fraction(spec);
  }
  return total;
}

}  // namespace

TrainingCost training_cost(const Config& config) {
  TrainingCost cost;
  const int64_t layers = config.model.layers, length = config.data.length;
  cost.forward_flop_per_token =
      forward_flop(config.model, decoder_plan_specs(config.ssa, layers, length));
  cost.dense_forward_flop_per_token = forward_flop(config.model, dense_plan_specs(layers, length));
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
