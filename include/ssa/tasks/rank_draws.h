#pragma once

#include <cstdint>

#include "ssa/config/config.h"

namespace ssa {

/// Whether the ranks draw sources of their own in this step, so that another number of ranks trains
/// with other draws. False for dense attention, and where each graph has its own draw.
bool draws_depend_on_ranks(const Config& config, int64_t step);

}  // namespace ssa
