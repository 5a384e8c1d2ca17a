#pragma once

#include <cstdint>

#include "ssa/config/config.h"

namespace ssa {

/// Learning rate of step `step` (0 … steps-1). Linear from warmup_lr to lr over warmup_steps, which
/// the last step of the warm-up has. Then linear and cosine go from lr in the first step after the
/// warm-up to min_lr, which a step `steps` would have: as in fairseq, in the training of Swin and
/// EGT, and in PyTorch's schedulers, the last step has a little more. inverse_sqrt falls as
/// lr·√(warmup_steps/n) in step n, counted from 1, and never below min_lr; constant stays.
double learning_rate(const TrainConfig& train, int64_t step);

}  // namespace ssa
