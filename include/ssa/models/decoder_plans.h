#pragma once

#include <cstdint>
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

}  // namespace ssa
