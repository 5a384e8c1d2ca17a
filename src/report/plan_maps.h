#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::report {

/// HTML figures of what a run's layers sample: of the first and the last that sample, or of one if
/// both draw alike. Of a Swin transformer the first is the first with shifted windows. `specs` are
/// those of the layers from `first_layer` on, all of which sample; `key` is that of the run's
/// plans. Empty if the plans are too large to draw for a page.
std::string plan_maps(const std::vector<PlanSpec>& specs, size_t first_layer, const RngKey& key,
                      int draws);

}  // namespace ssa::report
