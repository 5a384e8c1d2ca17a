#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/autograd/variable.h"
#include "ssa/core/philox.h"
#include "ssa/core/tensor.h"

// Small f64 tensors on the reference backend, and what is in them.

namespace ssa::testing {

inline Tensor f64(const std::vector<double>& values, const Shape& shape) {
  return Tensor::from(values, shape, Device::reference);
}
inline Tensor f64(const std::vector<double>& values) {
  return f64(values, {static_cast<int64_t>(values.size())});
}
inline Tensor i32(const std::vector<int32_t>& values, const Shape& shape) {
  return Tensor::from(values, shape, Device::reference, MemoryCategory::data);
}
inline Tensor i32(const std::vector<int32_t>& values) {
  return i32(values, {static_cast<int64_t>(values.size())});
}

/// Uniform in (low, high); `stream` tells tensors apart, so that every run draws the same.
inline Tensor random_f64(const Shape& shape, uint32_t stream, double low = -1.0,
                         double high = 1.0) {
  const RngKey key{.seed = 17, .purpose = RngPurpose::test, .stream = stream};
  Tensor tensor = Tensor::empty(shape, DType::f64, Device::reference);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    tensor.data<double>()[i] =
        low + (high - low) * uniform_open(key.word(static_cast<uint64_t>(i)));
  }
  return tensor;
}

/// A leaf that collects gradients.
inline Variable leaf(const Tensor& value) { return Variable(value, true); }

inline std::vector<double> values(const Tensor& of) {
  REQUIRE(of.defined());
  REQUIRE(of.is_contiguous());
  const Tensor tensor = of.on_host();
  std::vector<double> result(static_cast<size_t>(tensor.numel()));
  visit_floating(tensor.dtype(), [&]<class T>(TypeTag<T>) {
    for (size_t i = 0; i < result.size(); ++i) {
      result[i] = static_cast<double>(tensor.data<T>()[i]);
    }
  });
  return result;
}

/// Runs `function`, which must throw E, and returns the message.
template <class E, class F>
std::string message_of(F&& function) {
  try {
    function();
  } catch (const E& error) {
    return error.what();
  }
  FAIL_CHECK("no error was thrown");
  return "";
}

}  // namespace ssa::testing
