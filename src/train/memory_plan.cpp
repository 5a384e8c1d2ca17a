#include "ssa/train/memory_plan.h"

#include <algorithm>

#include <unistd.h>

#include "ssa/models/cost.h"

namespace ssa {

MemoryPlan plan_memory(const Config& config, int64_t sequences) {
  const ModelConfig& model = config.model;
  const int64_t element = config.train.precision == Precision::fp32 ? 4 : 2;
  const int64_t rows = sequences * config.data.length;
  const int64_t scalars = parameter_count(config);
  const int64_t moments = config.train.optimizer.kind == OptimizerKind::sgd ? 1 : 2;

  // Kept by a block for each token: input, both norms' outputs, query, key, value, attention's
  // output, the sum after attention (8·width), and the hidden layer before and after its
  // activation; means, deviations and log-sum-exps in f32.
  const int64_t saved =
      rows * ((8 * model.width + 2 * model.ffn_width) * element + (4 + model.heads) * 4);
  // Live at once in the middle of a block's backward pass.
  const int64_t transient = rows * (3 * model.width + model.ffn_width) * element;
  const int64_t logits = rows * vocabulary_size(config) * element;

  MemoryPlan plan;
  plan.parameters = scalars * 4;
  plan.gradients = scalars * 4;
  plan.optimizer = scalars * 4 * moments;
  if (config.train.activation_checkpointing) {
    // Every block's input; the logits are gone when the first block is computed again.
    plan.activations = rows * model.width * element * model.layers + std::max(saved, logits);
  } else {
    plan.activations = saved * model.layers + logits;
  }
  plan.activations += 2 * rows * model.width * element;
  plan.workspace = std::max(transient, logits);
  return plan;
}

int64_t resolve_micro_batch(const Config& config) {
  const int64_t batch = config.train.batch_size;
  if (config.train.micro_batch > 0) return config.train.micro_batch;
  const int64_t budget = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE) / 2;
  for (int64_t candidate = batch; candidate > 1; --candidate) {
    if (batch % candidate == 0 && plan_memory(config, candidate).total() <= budget) {
      return candidate;
    }
  }
  return 1;
}

}  // namespace ssa
