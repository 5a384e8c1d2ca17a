#include "report/ticks.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace ssa::report {

namespace {

/// The smallest nice number from `value` on, with a tolerance for rounding.
double nice_step_above(double value) {
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power > value * (1 + 1e-9)) return factor * power;
  }
  return 10 * power;
}

/// Multiples of `step` in the range, at most `most` + 1 of them.
std::vector<double> multiples(const Range& range, double step, int most) {
  const double slack = 1e-9 * range.size();
  const double first = std::ceil((range.low - slack) / step);
  std::vector<double> result;
  for (int i = 0; i <= most; ++i) {
    const double value = (first + i) * step;
    if (value > range.high + slack) break;
    result.push_back(value);
  }
  return result;
}

/// The decimals that multiples of `step` need, at most 9.
int decimals_of(double step) {
  for (int decimals = 0; decimals < 9; ++decimals) {
    const double scaled = step * std::pow(10.0, decimals);
    if (scaled > 0.5 && std::abs(scaled - std::round(scaled)) < 1e-6 * scaled) return decimals;
  }
  return 9;
}

}  // namespace

std::vector<double> nice_ticks(const Range& range, int most) {
  if (!std::isfinite(range.low) || !std::isfinite(range.high)) return {};
  if (!(range.size() > 0) || !std::isfinite(range.size())) return {};
  // The step is finer than a double's precision, or than a label can show.
  if (range.size() < 1e-9 * std::max(std::abs(range.low), std::abs(range.high))) return {};
  // Below this, doubles lose digits: the next nice step could be the same number, without end.
  if (range.size() < 1e-300) return {};
  double step = nice_step_above(range.size() / (most + 1) * (1 - 1e-6));
  while (std::isfinite(step) && step > 0) {
    std::vector<double> ticks = multiples(range, step, most);
    if (ticks.size() <= static_cast<size_t>(most)) return ticks;
    step = nice_step_above(step);
  }
  return {};
}

std::vector<std::string> tick_labels(const std::vector<double>& ticks) {
  if (ticks.empty()) return {};
  double largest = 0;
  for (const double tick : ticks) largest = std::max(largest, std::abs(tick));
  double scale = 1;
  const char* prefix = "";
  if (largest >= 1e9) {
    scale = 1e9, prefix = "G";
  } else if (largest >= 1e6) {
    scale = 1e6, prefix = "M";
  } else if (largest >= 1e4) {
    scale = 1e3, prefix = "k";
  }
  const double step = (ticks.size() > 1 ? ticks[1] - ticks[0] : std::max(largest, 1e-300)) / scale;
  const int decimals = decimals_of(step);
  std::vector<std::string> labels;
  for (const double tick : ticks) {
    if (tick == 0) {
      labels.emplace_back("0");
    } else if (decimals > 6 || largest >= 1e13) {
      labels.push_back(fmt::format("{:.4g}", tick));
    } else {
      labels.push_back(fmt::format("{:.{}f}{}", tick / scale, decimals, prefix));
    }
  }
  return labels;
}

Range drawable(Range range) {
  if (!(range.low <= range.high) || !std::isfinite(range.size())) return {0, 1};
  const double least = 1e-6 * std::max(std::abs(range.low), std::abs(range.high));
  if (range.size() <= least) {
    const double half = range.low == 0 ? 0.5 : 0.05 * std::abs(range.low);
    return {range.low - half, range.high + half};
  }
  return range;
}

}  // namespace ssa::report
