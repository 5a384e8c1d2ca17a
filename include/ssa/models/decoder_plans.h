#pragma once

#include <cstdint>
#include <vector>

#include "ssa/backend/backend.h"
#include "ssa/config/config.h"
#include "ssa/sampling/source_plan.h"

namespace ssa {

/// The plan spec of each layer of a causal decoder at this length. The last `ssa.layers` layers (0:
/// all) are subsampled, with σ going linearly from sigma.first to sigma.last; the others are dense.
/// Throws ConfigError like validate(PlanSpec).
std::vector<PlanSpec> decoder_plan_specs(const SsaConfig& ssa, int64_t layers, int64_t length);
/// Dense for every layer: renorm inference, and the +FT phase.
std::vector<PlanSpec> dense_plan_specs(int64_t layers, int64_t length);

/// One plan per layer; `key.layer` is replaced by the layer's number.
std::vector<SourcePlan> draw_plans(const std::vector<PlanSpec>& specs, const RngKey& key);
PlanTensors to_tensors(const SourcePlan& plan, Device device);
std::vector<PlanTensors> to_tensors(const std::vector<SourcePlan>& plans, Device device);

}  // namespace ssa
