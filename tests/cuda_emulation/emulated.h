#pragma once

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "backend/cuda/device.h"
#include "backend/cuda/launch.h"
#include "fibers.h"

namespace emulation {

/// An array in device memory.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    ssa::cuda::check(cudaMalloc(&data_, size * sizeof(T)), "allocating");
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    ssa::cuda::check(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
                     "copying");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  T* data() { return data_; }
  std::vector<T> values() const {
    std::vector<T> result(size_);
    ssa::cuda::check(cudaMemcpy(result.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost),
                     "copying");
    return result;
  }

 private:
  size_t size_;
  T* data_ = nullptr;
};

/// The error message of a launch; empty if it succeeded.
template <class... Parameters, class... Arguments>
std::string launch_error(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments... args) {
  try {
    ssa::cuda::launch("kernel", kernel, grid, block, 0, args...);
  } catch (const ssa::Error& error) {
    return error.what();
  }
  return "";
}

/// Runs f() with the threads taking turns in either order.
template <class F>
void for_each_order(F&& f) {
  for (const Order order : {Order::forward, Order::backward}) {
    INFO((order == Order::forward ? "forward" : "backward"));
    set_order(order);
    f();
  }
  set_order(Order::forward);
}

}  // namespace emulation
