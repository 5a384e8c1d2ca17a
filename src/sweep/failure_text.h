#pragma once

#include <string>

#include "ssa/sweep/point_state.h"

namespace ssa {

/// A failure in words, with the last lines of the log: "ssa-train failed with exit code 5; …".
std::string describe_failure(const std::string& run_dir, const PointFailure& failure);

}  // namespace ssa
