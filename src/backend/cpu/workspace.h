#pragma once

#include <omp.h>

#include "ssa/core/tensor.h"

namespace ssa::cpu {

/// Buffers of f32, each a multiple of 64 bytes: one per thread, or one per item.
struct BufferSizes {
  BufferSizes(int64_t buffers, int64_t floats_each)
      : count(buffers), floats((floats_each + 15) / 16 * 16) {}
  int64_t bytes() const { return count * floats * int64_t{sizeof(float)}; }
  int64_t count, floats;
};

class Workspace {
 public:
  explicit Workspace(const BufferSizes& sizes) : floats_(sizes.floats) {
    if (floats_ == 0) return;
    buffer_ =
        Tensor::empty({sizes.count, floats_}, DType::f32, Device::cpu, MemoryCategory::workspace);
    data_ = buffer_.data<float>();
  }
  float* part(int64_t number) const { return data_ + number * floats_; }
  float* of_thread() const { return part(omp_get_thread_num()); }
  int64_t floats() const { return floats_; }

 private:
  int64_t floats_;
  Tensor buffer_;
  float* data_ = nullptr;
};

}  // namespace ssa::cpu
