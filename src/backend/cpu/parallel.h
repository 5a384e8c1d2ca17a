#pragma once

#include <algorithm>
#include <cstdint>

namespace ssa::cpu {

/// Calls f(item) for 0 ≤ item < items, on OpenMP's threads. f must not throw, and items must not
/// write the same memory: then neither their order nor the number of threads shows in the result.
template <class F>
void parallel_items(int64_t items, const F& f) {
#pragma omp parallel for schedule(dynamic) if (items > 1)
  for (int64_t item = 0; item < items; ++item) f(item);
}

/// Calls f(begin, length) for consecutive parts of 0 … count-1, all `part` long but the last.
template <class F>
void parallel_parts(int64_t count, int64_t part, const F& f) {
  parallel_items((count + part - 1) / part, [&](int64_t item) {
    const int64_t begin = item * part;
    f(begin, std::min(part, count - begin));
  });
}

/// Elements that are worth a thread's attention; a multiple of a Philox block of any width.
inline constexpr int64_t kPart = 16384;

/// Rows of this many columns that make a part of about kPart elements.
inline int64_t rows_per_part(int64_t columns) {
  return std::max<int64_t>(1, kPart / std::max<int64_t>(1, columns));
}

}  // namespace ssa::cpu
