#include "ssa/train/data_wait.h"

#include <utility>

#include <fmt/format.h>

namespace ssa {

std::string DataWait::text() const {
  constexpr double kWorthSaying = 0.01;
  if (stepped_ <= 0 || waited_ <= kWorthSaying * stepped_) return {};
  return fmt::format("data {:.0f} %", 100 * waited_ / stepped_);
}

double DataWait::take() {
  stepped_ = 0;
  return std::exchange(waited_, 0.0);
}

}  // namespace ssa
