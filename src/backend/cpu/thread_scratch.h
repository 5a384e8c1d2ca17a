#pragma once

#include <omp.h>

#include "ssa/core/tensor.h"

namespace ssa::cpu {

/// A buffer of `bytes` for each thread, 64-byte aligned.
class ThreadScratch {
 public:
  explicit ThreadScratch(int64_t bytes)
      : stride_((bytes + 63) / 64 * 64),
        buffer_(Tensor::empty({omp_get_max_threads(), stride_}, DType::u8, Device::cpu,
                              MemoryCategory::workspace)),
        data_(buffer_.raw()) {}
  void* of_thread() const { return data_ + omp_get_thread_num() * stride_; }

 private:
  int64_t stride_;
  Tensor buffer_;
  std::byte* data_;
};

}  // namespace ssa::cpu
