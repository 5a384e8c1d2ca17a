#pragma once

#include <vector>

#include "ssa/data/dataset_info.h"
#include "ssa/sweep/grid.h"

namespace ssa {

/// The split that a sweep is scored on unless its user says: test, or valid if the data of a point
/// have no test split or lack targets in it. Test as well where data cannot be opened here.
Split split_to_score(const std::vector<SweepPoint>& points);

}  // namespace ssa
