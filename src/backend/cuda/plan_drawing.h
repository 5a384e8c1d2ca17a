#pragma once

#include "ssa/core/tensor.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::cuda {

/// Draws on the device the plan that draw_plan() draws on the host, to the bit: targets (W, T) and
/// sources (W, S), i32, each row of sources ascending. Queued on the stream; waits for nothing.
/// For plans over a sequence (dense, unbiased, local_1d). Throws ConfigError for other kinds, and
/// like validate().
void draw_plan_on_device(const PlanSpec& spec, const RngKey& key, Tensor& targets, Tensor& sources);

}  // namespace ssa::cuda
