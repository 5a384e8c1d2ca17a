#pragma once

#include <cstdint>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::report {

/// Through n layers of drawn plans, lowest first: the part of the positions that a target may see
/// (with `causal` itself and those before it) from which some path of sampled connections leads to
/// it, mean over all targets. Element n - 1 is for the first n plans. Each position also passes
/// through every layer to itself, along the residual connection. All plans have the same
/// positions; nothing for no plans.
std::vector<double> reached_parts(const std::vector<SourcePlan>& plans, bool causal);

/// Information pathways through the layers that sample, estimated by drawing plans.
struct Connectivity {
  int64_t positions = 0;        ///< drawn with
  int draws = 0;                ///< 0 if the plans are too large to be drawn for a page
  std::vector<double> reached;  ///< reached_parts(), mean over the draws
};

/// Draws up to `draws` plans a layer with steps 0, 1, … of `key`, whose layer is replaced by
/// `first_layer`, `first_layer` + 1, … Throws ConfigError as draw_plan().
Connectivity estimate_connectivity(std::vector<PlanSpec> specs, int64_t first_layer,
                                   const RngKey& key, int draws);

}  // namespace ssa::report
