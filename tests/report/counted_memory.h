#pragma once

#include <cstddef>

namespace ssa::testing {

/// Counts what the program allocates with `new` while it lives, on all threads. One at a time.
class CountedMemory {
 public:
  CountedMemory();
  ~CountedMemory();
  CountedMemory(const CountedMemory&) = delete;
  CountedMemory& operator=(const CountedMemory&) = delete;

  /// The most that was held at a time beyond what was held at the start.
  size_t peak_bytes() const;
};

}  // namespace ssa::testing
