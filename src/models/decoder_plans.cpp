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
  SideBySide all;
  all.add(plans);
  const auto total = static_cast<int64_t>(all.values().size());
  return Apart(Tensor::from(all.values(), {total}, device, MemoryCategory::data)).next_plans(plans);
}

namespace {

constexpr int64_t kUnit = 16;  // numbers in 64 bytes

int64_t rounded_up(int64_t count) { return (count + kUnit - 1) / kUnit * kUnit; }

}  // namespace

void SideBySide::add(const std::vector<int32_t>& values) {
  values_.insert(values_.end(), values.begin(), values.end());
  values_.resize(static_cast<size_t>(rounded_up(static_cast<int64_t>(values_.size()))), 0);
}

void SideBySide::add(const std::vector<SourcePlan>& plans) {
  for (const SourcePlan& plan : plans) {
    add(plan.targets);
    add(plan.sources);
  }
}

Tensor Apart::next(const Shape& shape) {
  const Tensor part = together_.slice(0, first_, shape.numel()).view(shape);
  first_ += rounded_up(shape.numel());
  return part;
}

std::vector<PlanTensors> Apart::next_plans(const std::vector<SourcePlan>& plans) {
  std::vector<PlanTensors> tensors;
  for (const SourcePlan& plan : plans) {
    const Tensor targets = next({plan.windows, plan.targets_per_window});
    tensors.push_back({targets, next({plan.windows, plan.sources_per_window})});
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
