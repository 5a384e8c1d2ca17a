#pragma once

#include <cstdint>

#include "ssa/config/config.h"

namespace ssa {

/// The examples of a step that each of `ranks` computes. Throws ConfigError, naming the numbers of
/// ranks that can, if they cannot share the batch evenly.
int64_t share_of_rank(const Config& config, int64_t ranks);

}  // namespace ssa
