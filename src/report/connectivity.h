#pragma once

#include <cstdint>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::report {

/// How much of its context a target can reach through n layers of drawn plans (lowest first): the
/// part of the positions that it may see (with `causal`, itself and those before it) from which a
/// path of sampled connections leads to it. The mean over all targets; element n - 1 is for the
/// first n plans. The residual connection also connects each position to itself in every layer. All
/// plans have the same positions.
std::vector<double> reached_parts(const std::vector<SourcePlan>& plans, bool causal);

/// Information pathways through the layers that sample, estimated by drawing plans.
struct Connectivity {
  int64_t positions = 0;        ///< of the drawn plans
  int draws = 0;                ///< 0: the plans are too large to draw for a page
  std::vector<double> reached;  ///< reached_parts(), mean over the draws
};

/// Draws up to `draws` plans per layer with steps 0, 1, … of `key`; the key's layer is replaced by
/// `first_layer`, `first_layer` + 1, … None for layers whose positions are not the same, as of a
/// Swin transformer that samples in several stages, and for shifted windows, whose mask the plan
/// does not know. Throws ConfigError like draw_plan().
Connectivity estimate_connectivity(std::vector<PlanSpec> specs, int64_t first_layer,
                                   const RngKey& key, int draws);

}  // namespace ssa::report
