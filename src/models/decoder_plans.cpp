#include "ssa/models/decoder_plans.h"

#include <algorithm>
#include <cmath>

namespace ssa {

std::vector<PlanSpec> dense_plan_specs(int64_t layers, int64_t length) {
  PlanSpec dense;
  dense.positions = length;
  dense.causal = true;
  return std::vector<PlanSpec>(static_cast<size_t>(layers), dense);
}

std::vector<PlanSpec> decoder_plan_specs(const SsaConfig& ssa, int64_t layers, int64_t length) {
  std::vector<PlanSpec> specs = dense_plan_specs(layers, length);
  if (ssa.kind == SsaKind::none) return specs;
  const int64_t subsampled = ssa.layers == 0 ? layers : ssa.layers;
  if (subsampled < 0 || subsampled > layers) {
    throw ConfigError("ssa.layers: {} of a model of {} layers; valid: 0 (all) to {}", subsampled,
                      layers, layers);
  }
  for (int64_t i = 0; i < subsampled; ++i) {
    const double along =
        subsampled > 1 ? static_cast<double>(i) / static_cast<double>(subsampled - 1) : 0.0;
    PlanSpec& spec = specs[static_cast<size_t>(layers - subsampled + i)];
    spec.kind = ssa.kind == SsaKind::local ? PlanKind::local_1d : PlanKind::unbiased;
    spec.windows = ssa.kind == SsaKind::local ? ssa.windows : 1;
    spec.sigma = ssa.sigma.first + along * (ssa.sigma.last - ssa.sigma.first);
    spec.drop = ssa.drop;
    validate(spec);
  }
  return specs;
}

std::vector<SourcePlan> draw_plans(const std::vector<PlanSpec>& specs, const RngKey& key) {
  std::vector<SourcePlan> plans;
  plans.reserve(specs.size());
  for (size_t layer = 0; layer < specs.size(); ++layer) {
    plans.push_back(draw_plan(specs[layer], key.with_layer(static_cast<int64_t>(layer))));
  }
  return plans;
}

PlanTensors to_tensors(const SourcePlan& plan, Device device) {
  return to_tensors(std::vector<SourcePlan>{plan}, device).front();
}

std::vector<PlanTensors> to_tensors(const std::vector<SourcePlan>& plans, Device device) {
  // Put side by side, so that they go to a device in one piece; each begins on 64 bytes.
  constexpr size_t kUnit = 16;
  std::vector<int32_t> all;
  for (const SourcePlan& plan : plans) {
    for (const auto* positions : {&plan.targets, &plan.sources}) {
      all.insert(all.end(), positions->begin(), positions->end());
      all.resize((all.size() + kUnit - 1) / kUnit * kUnit, 0);
    }
  }
  const auto total = static_cast<int64_t>(all.size());
  const Tensor together = Tensor::from(all, {total}, device, MemoryCategory::data);
  int64_t first = 0;
  const auto next = [&](int64_t windows, int64_t columns) {
    const Tensor part = together.slice(0, first, windows * columns).view({windows, columns});
    const size_t end = static_cast<size_t>(first + windows * columns);
    first = static_cast<int64_t>((end + kUnit - 1) / kUnit * kUnit);
    return part;
  };
  std::vector<PlanTensors> tensors;
  for (const SourcePlan& plan : plans) {
    const Tensor targets = next(plan.windows, plan.targets_per_window);
    tensors.push_back({targets, next(plan.windows, plan.sources_per_window)});
  }
  return tensors;
}

int64_t finetune_start(const Config& config) {
  if (config.ssa.kind == SsaKind::none) return config.train.steps;
  const auto dense_steps = static_cast<int64_t>(
      std::llround(config.ssa.finetune_fraction * static_cast<double>(config.train.steps)));
  return config.train.steps - std::clamp<int64_t>(dense_steps, 0, config.train.steps);
}

}  // namespace ssa
