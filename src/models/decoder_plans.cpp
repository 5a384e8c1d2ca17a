#include "ssa/models/decoder_plans.h"

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
  return {Tensor::from(plan.targets, {plan.windows, plan.targets_per_window}, device,
                       MemoryCategory::data),
          Tensor::from(plan.sources, {plan.windows, plan.sources_per_window}, device,
                       MemoryCategory::data)};
}

std::vector<PlanTensors> to_tensors(const std::vector<SourcePlan>& plans, Device device) {
  std::vector<PlanTensors> tensors;
  for (const SourcePlan& plan : plans) tensors.push_back(to_tensors(plan, device));
  return tensors;
}

}  // namespace ssa
