#pragma once

// Kernels over the elements of many tensors at once: a launch for each tensor of a model would take
// longer than the work on most of them.

#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#include "backend/cuda/device.h"

namespace ssa::cuda {

/// Tensors as one argument of a kernel. Block b has elements of the last tensor whose first block
/// is at most b.
template <class Entry>
struct TensorList {
  /// Arguments may have 4096 bytes; the rest is for other arguments.
  static constexpr int kMost = static_cast<int>(3840 / (sizeof(Entry) + sizeof(unsigned)));
  static_assert(kMost >= 1 && std::is_trivially_copyable_v<Entry>);
  Entry entries[kMost];
  unsigned first_block[kMost];
  int count;

  /// The number of this block's tensor.
  __device__ int tensor_index() const {
    int low = 0, high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (first_block[middle] <= blockIdx.x) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

/// Collects tensors. Calls launch(list, blocks) for each full list, and at the end.
template <class Entry>
class TensorListBuilder {
 public:
  using Launch = std::function<void(const TensorList<Entry>&, unsigned blocks)>;
  TensorListBuilder(int64_t elements_per_block, Launch launch)
      : elements_per_block_(elements_per_block), launch_(std::move(launch)) {}
  /// Adds a tensor with this number of elements.
  void add(const Entry& entry, int64_t elements) {
    if (elements == 0) return;
    const int64_t blocks = (elements + elements_per_block_ - 1) / elements_per_block_;
    if (list_.count == TensorList<Entry>::kMost || blocks_ + blocks > INT32_MAX) flush();
    list_.entries[list_.count] = entry;
    list_.first_block[list_.count] = static_cast<unsigned>(blocks_);
    ++list_.count;
    blocks_ += blocks;
  }
  void flush() {
    if (list_.count > 0) launch_(list_, static_cast<unsigned>(blocks_));
    list_.count = 0;
    blocks_ = 0;
  }

 private:
  int64_t elements_per_block_;
  Launch launch_;
  TensorList<Entry> list_{};
  int64_t blocks_ = 0;
};

}  // namespace ssa::cuda
