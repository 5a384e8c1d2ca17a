#pragma once

#include <string>

#include "ssa/config/config.h"

#include "config/apply.h"
#include "config/problems.h"

namespace ssa {

/// Rules that tie several keys together. A rule is skipped where one of its keys already has a
/// problem of its own. `file` is named where all keys of a broken rule are at their defaults.
void validate_config(const Config& config, const Origins& origins, const std::string& file,
                     Problems& problems);

}  // namespace ssa
