#include <algorithm>
#include <cmath>

#include "ssa/config/config.h"

namespace ssa {

int64_t finetune_start(const Config& config) {
  if (config.ssa.kind == SsaKind::none) return config.train.steps;
  const auto dense_steps = static_cast<int64_t>(
      std::llround(config.ssa.finetune_fraction * static_cast<double>(config.train.steps)));
  return config.train.steps - std::clamp<int64_t>(dense_steps, 0, config.train.steps);
}

}  // namespace ssa
