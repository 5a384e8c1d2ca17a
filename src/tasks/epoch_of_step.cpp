#include "ssa/tasks/task.h"

namespace ssa {

std::optional<double> epoch_of_step(const Config& config, int64_t step) {
  if (config.train.epochs == 0) return std::nullopt;
  return static_cast<double>(step) * config.train.epochs / static_cast<double>(config.train.steps);
}

}  // namespace ssa
