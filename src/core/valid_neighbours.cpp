#include "ssa/core/valid_neighbours.h"

#include <algorithm>

#include <fmt/format.h>

namespace ssa {

std::string nearest_divisors(int64_t number, int64_t wanted) {
  int64_t below = 1, above = number;
  for (int64_t small = 1; small * small <= number; ++small) {
    if (number % small != 0) continue;
    for (const int64_t divisor : {small, number / small}) {
      if (divisor <= wanted) below = std::max(below, divisor);
      if (divisor >= wanted) above = std::min(above, divisor);
    }
  }
  if (wanted < 1 || wanted >= number || below == above) {
    return fmt::format("{}", wanted < 1 ? 1 : below);
  }
  return fmt::format("{} or {}", below, above);
}

std::string nearest_multiples(int64_t part, int64_t wanted) {
  const int64_t below = wanted / part * part;
  if (below <= 0) return fmt::format("{}", part);
  return fmt::format("{} or {}", below, below + part);
}

}  // namespace ssa
