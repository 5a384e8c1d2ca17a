#pragma once

#include <string>

#include "ssa/sweep/point_state.h"

namespace ssa {

/// "ssa-train failed with exit code 5; the end of …:" and the log's last lines.
std::string describe_failure(const std::string& run_dir, const PointFailure& failure);

}  // namespace ssa
