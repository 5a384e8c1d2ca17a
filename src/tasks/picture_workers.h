#pragma once

#include "ssa/config/config.h"
#include "ssa/data/worker_pool.h"

namespace ssa {

/// Threads of the pool that reads pictures, as data.workers says. By default one for each processor
/// that this process may use, at most 16, which feed the fastest GPU.
int64_t picture_workers(const Config& config);

}  // namespace ssa
