#pragma once

// Lists of tensors for kernels that handle many tensors in one launch: a launch per tensor would
// take longer than the work on most tensors of a model.

#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#include "backend/cuda/device.h"

namespace ssa::cuda {

/// Tensors as one kernel argument. Block b handles elements of the last tensor whose first block is
/// at most b.
template <class Entry>
struct TensorList {
  /// Kernel arguments may take 4096 bytes; some are left for other arguments.
  static constexpr int kMost = static_cast<int>(3840 / (sizeof(Entry) + sizeof(unsigned)));
  static_assert(kMost >= 1 && std::is_trivially_copyable_v<Entry>);
  Entry entries[kMost];
  unsigned first_block[kMost];
  int count;

  /// The index of this block's tensor.
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
