#pragma once

#include <algorithm>
#include <cstdint>

namespace ssa::cpu {

/// Calls f(item) for 0 ≤ item < items, on OpenMP's threads. f must not throw. Items must not write
/// the same memory, so that the result depends neither on their order nor on the number of threads.
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

/// Elements per part of work for a thread. A multiple of a Philox block of any vector width.
inline constexpr int64_t kPart = 16384;

/// Rows per part, so that a part has about kPart elements.
inline int64_t rows_per_part(int64_t columns) {
  return std::max<int64_t>(1, kPart / std::max<int64_t>(1, columns));
}

}  // namespace ssa::cpu
