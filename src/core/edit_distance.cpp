#include "ssa/core/edit_distance.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ssa {

size_t edit_distance(std::string_view a, std::string_view b, size_t most) {
  const size_t longer = std::max(a.size(), b.size()), gap = longer - std::min(a.size(), b.size());
  if (gap > most) return gap;
  most = std::min(most, longer);
  const size_t width = b.size() + 1, above = most + 1;
  std::vector<size_t> memory(3 * width, above);
  size_t *before_last = &memory[0], *last = &memory[width], *row = &memory[2 * width];
  for (size_t j = 0; j < width; ++j) row[j] = j;
  size_t least = 0, least_before = 0;  // of this row and the one before: no later one goes below
  for (size_t i = 1; i <= a.size() && std::min(least, least_before) <= most; ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    // Prefixes whose lengths differ by more than `most` are too far apart.
    const size_t first = i > most ? i - most : 1, end = std::min(width, i + most + 1);
    row[first - 1] = first == 1 ? i : above;
    least_before = std::exchange(least, row[first - 1]);
    for (size_t j = first; j < end; ++j) {
      row[j] = std::min(std::min(last[j], row[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
      least = std::min(least, row[j]);
    }
    if (end < width) row[end] = above;
  }
  const size_t reached = std::min(least, least_before);
  return reached > most ? reached : row[b.size()];
}

}  // namespace ssa
