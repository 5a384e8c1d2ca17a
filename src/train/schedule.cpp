#include "ssa/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ssa {

double learning_rate(const TrainConfig& train, int64_t step) {
  const ScheduleConfig& schedule = train.schedule;
  const double peak = train.optimizer.lr;
  const auto warmup = static_cast<double>(schedule.warmup_steps);
  const auto done = static_cast<double>(step);
  const double now = done + 1;  // so that the first update changes something
  if (now <= warmup) return schedule.warmup_lr + (peak - schedule.warmup_lr) * now / warmup;

  // The step after the last one would have min_lr: with min_lr 0 the last step still learns.
  const double decaying = static_cast<double>(train.steps) - warmup;
  const double along = decaying > 0 ? std::min(1.0, (done - warmup) / decaying) : 1.0;
  switch (schedule.decay) {
    case DecayKind::constant:
      return peak;
    case DecayKind::linear:
      return peak + (schedule.min_lr - peak) * along;
    case DecayKind::cosine:
      return schedule.min_lr +
             (peak - schedule.min_lr) * 0.5 * (1.0 + std::cos(std::numbers::pi * along));
    case DecayKind::inverse_sqrt:
      return std::max(schedule.min_lr, peak * std::sqrt(std::max(1.0, warmup) / now));
  }
  return peak;
}

}  // namespace ssa
