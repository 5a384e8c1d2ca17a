#include "tasks/picture_workers.h"

#include <algorithm>

#include "ssa/core/system_limits.h"

namespace ssa {

int64_t picture_workers(const Config& config) {
  constexpr int64_t kEnough = 16;
  return config.data.workers > 0 ? config.data.workers : std::min(kEnough, usable_processors());
}

}  // namespace ssa
