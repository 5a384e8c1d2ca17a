#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/backend/backend.h"

#include "backend/device_under_test.h"
#include "backend/reference/reference_backend.h"

// Compares a backend with the reference: the same inputs, the reference in f64, outputs between
// guard elements, every variant of the backend.
//
// In f32, errors have fixed bounds. In bf16 and f16 (low_precision_cases.h) they may be twice those
// of the reference in that precision.

namespace ssa::testing {

inline constexpr Activation kActivations[] = {Activation::gelu, Activation::gelu_tanh,
                                              Activation::relu, Activation::elu};
inline bool is_gelu(Activation kind) {
  return kind == Activation::gelu || kind == Activation::gelu_tanh;
}

inline Tensor on_device(const Tensor& tensor) { return tensor.to(device_under_test()); }
/// A contiguous copy on the host.
inline Tensor host(const Tensor& tensor) { return tensor.on_host(); }

/// f32 in [-amplitude, amplitude), the same on every machine; in host memory.
inline Tensor random_on_host(const Shape& shape, uint32_t seed, double amplitude = 1.0) {
  std::mt19937 engine(seed);
  Tensor tensor = Tensor::empty(shape, DType::f32, Device::cpu);
  float* values = tensor.data<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    values[i] = static_cast<float>(amplitude * (static_cast<double>(engine()) * 0x1p-31 - 1.0));
  }
  return tensor;
}
/// Such a tensor on the device under test.
inline Tensor random_tensor(const Shape& shape, uint32_t seed, double amplitude = 1.0) {
  return on_device(random_on_host(shape, seed, amplitude));
}

inline Tensor random_ids(int64_t count, int64_t lowest, int64_t end, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(lowest +
                              static_cast<int64_t>(engine() % static_cast<uint32_t>(end - lowest)));
  }
  return Tensor::from(ids, {count}, device_under_test());
}

/// Contiguous copy for the reference: f64 if floating, i32 as it is.
inline Tensor for_reference(const Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  const DType dtype = is_floating(tensor.dtype()) ? DType::f64 : tensor.dtype();
  Tensor copy = Tensor::empty(tensor.shape(), dtype, Device::reference);
  reference_backend().copy(host(tensor), copy);
  return copy;
}

inline Tensor reference_zeros(const Shape& shape) {
  return Tensor::zeros(shape, DType::f64, Device::reference);
}

/// The same values in another floating dtype, contiguous, on the same device.
inline Tensor converted(const Tensor& tensor, DType dtype) {
  Tensor result = Tensor::empty(tensor.shape(), dtype, Device::cpu);
  reference_backend().copy(host(tensor), result);
  return tensor.device() == Device::cuda ? result.to(Device::cuda) : result;
}

inline Tensor filled_with(const Shape& shape, DType dtype, double value) {
  Tensor tensor = Tensor::empty(shape, dtype, Device::cpu);
  reference_backend().fill(tensor, value);
  return on_device(tensor);
}

/// An output with guard elements before and behind it, filled with NaN at first.
class Guarded {
 public:
  explicit Guarded(const Shape& shape, DType dtype = DType::f32)
      : Guarded(filled_with(shape, dtype, std::nan(""))) {}
  /// Initialised with `values`, which is contiguous.
  explicit Guarded(const Tensor& values)
      : whole_(Tensor::empty({values.numel() + 2 * kGuard}, values.dtype(), Device::cpu)) {
    std::memset(whole_.raw(), kSentinel, whole_.bytes());
    std::memcpy(whole_.raw() + guard_bytes(), host(values).raw(), values.bytes());
    whole_ = on_device(whole_);
    tensor = whole_.slice(0, kGuard, values.numel()).view(values.shape());
  }
  bool intact() const {
    const Tensor whole = host(whole_);
    const auto* bytes = reinterpret_cast<const unsigned char*>(whole.raw());
    for (size_t i = 0; i < guard_bytes(); ++i) {
      if (bytes[i] != kSentinel || bytes[whole.bytes() - 1 - i] != kSentinel) return false;
    }
    return true;
  }

 private:
  static constexpr int64_t kGuard = 64;
  static constexpr unsigned char kSentinel = 0xA5;
  size_t guard_bytes() const { return static_cast<size_t>(kGuard) * size_of(whole_.dtype()); }
  Tensor whole_;

 public:
  Tensor tensor;
};

/// The largest |actual - exact| / (|exact| + floor); infinity where only one of them is finite.
inline double worst_error(const Tensor& actual, const Tensor& exact, double floor) {
  REQUIRE(actual.shape() == exact.shape());
  const Tensor a = for_reference(actual), e = for_reference(exact);
  double worst = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = a.data<double>()[i], y = e.data<double>()[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    const double error = std::abs(x - y) / (std::abs(y) + floor);
    worst = std::isfinite(error) ? std::max(worst, error) : INFINITY;
  }
  return worst;
}

/// The largest finite magnitude.
inline double largest(const Tensor& tensor) {
  const Tensor wide = for_reference(tensor);
  double result = 0;
  for (int64_t i = 0; i < wide.numel(); ++i) {
    const double magnitude = std::abs(wide.data<double>()[i]);
    if (std::isfinite(magnitude)) result = std::max(result, magnitude);
  }
  return result;
}

/// One element of a contiguous tensor.
inline double at(const Tensor& tensor, int64_t index) {
  return for_reference(tensor).data<double>()[index];
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(host(a).raw(), host(b).raw(), a.bytes()) == 0;
}

/// Calls f() with each variant of the backend under test.
template <class F>
void for_each_variant(F&& f) {
  const std::string chosen = current_variant();
  for (const std::string& variant : variants()) {
    select_variant(variant);
    INFO("variant " << variant);
    f();
  }
  select_variant(chosen);
}

}  // namespace ssa::testing
