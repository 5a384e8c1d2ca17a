#include "ssa/train/loss_scaler.h"

#include <algorithm>

namespace ssa {

void LossScaler::restore(double scale, int64_t good_steps) {
  if (!dynamic_) return;
  scale_ = std::clamp(scale, 1.0, kLargestScale);
  good_steps_ = good_steps;
}

void LossScaler::succeeded() {
  if (!dynamic_ || ++good_steps_ < kGrowthInterval) return;
  good_steps_ = 0;
  scale_ = std::min(2 * scale_, kLargestScale);
}

bool LossScaler::overflowed() {
  if (!dynamic_ || scale_ <= 1.0) return false;
  good_steps_ = 0;
  scale_ = std::max(scale_ / 2, 1.0);
  return true;
}

}  // namespace ssa
