#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "ssa/backend/backend.h"
#include "ssa/config/config.h"
#include "ssa/sampling/source_plan.h"

namespace ssa {

/// Which plan each layer of a causal decoder draws from at this length: dense for all but the last
/// `ssa.layers` layers (0: all are subsampled), whose σ goes linearly from sigma.first to
/// sigma.last. Throws ConfigError as validate(PlanSpec) does.
std::vector<PlanSpec> decoder_plan_specs(const SsaConfig& ssa, int64_t layers, int64_t length);
/// Dense for every layer: renorm inference, and the +FT phase.
std::vector<PlanSpec> dense_plan_specs(int64_t layers, int64_t length);

/// One plan per layer; `key.layer` is replaced by the layer's number.
std::vector<SourcePlan> draw_plans(const std::vector<PlanSpec>& specs, const RngKey& key);
PlanTensors to_tensors(const SourcePlan& plan, Device device);
std::vector<PlanTensors> to_tensors(const std::vector<SourcePlan>& plans, Device device);

/// Vectors of numbers side by side, so that they go to a device in one piece; each begins at a
/// multiple of 64 bytes.
class SideBySide {
 public:
  void add(const std::vector<int32_t>& values);
  void add(const std::vector<SourcePlan>& plans);
  const std::vector<int32_t>& values() const { return values_; }

 private:
  std::vector<int32_t> values_;
};
/// What was put side by side, taken from one tensor in the same order.
class Apart {
 public:
  explicit Apart(Tensor together) : together_(std::move(together)) {}
  Tensor next(const Shape& shape);
  /// Of the shapes of these plans.
  std::vector<PlanTensors> next_plans(const std::vector<SourcePlan>& plans);

 private:
  Tensor together_;
  int64_t first_ = 0;
};

/// The step at which +FT switches to dense attention; `steps` if it never does.
int64_t finetune_start(const Config& config);

}  // namespace ssa
