#pragma once

#include <cstdint>

#include "ssa/config/config.h"

namespace ssa {

/// Learning rate of step `step` (0 … steps-1). Linear from warmup_lr to lr over warmup_steps, then
/// down to min_lr at the last step along the configured curve; inverse_sqrt falls as
/// lr·√(warmup_steps/step) and never below min_lr; constant stays.
double learning_rate(const TrainConfig& train, int64_t step);

}  // namespace ssa
