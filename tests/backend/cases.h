#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <omp.h>

#include "ssa/backend/backend.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/reference/reference_backend.h"

// How the CPU backend is held to the reference: the same inputs, the reference in f64, outputs
// between guard elements, every instruction set that this machine runs.
//
// In f32, errors have fixed bounds. In bf16 (bf16_cases.h) they may be twice those of the reference
// in bf16.

namespace ssa::test {

/// f32 in [-amplitude, amplitude), the same on every machine.
inline Tensor random_tensor(const Shape& shape, uint32_t seed, double amplitude = 1.0) {
  std::mt19937 engine(seed);
  Tensor tensor = Tensor::empty(shape, DType::f32, Device::cpu);
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    tensor.data<float>()[i] =
        static_cast<float>(amplitude * (static_cast<double>(engine()) * 0x1p-31 - 1.0));
  }
  return tensor;
}

inline Tensor random_ids(int64_t count, int64_t lowest, int64_t end, uint32_t seed) {
  std::mt19937 engine(seed);
  Tensor tensor = Tensor::empty({count}, DType::i32, Device::cpu);
  for (int64_t i = 0; i < count; ++i) {
    tensor.data<int32_t>()[i] = static_cast<int32_t>(
        lowest + static_cast<int64_t>(engine() % static_cast<uint32_t>(end - lowest)));
  }
  return tensor;
}

/// Contiguous copy for the reference: f64 if floating, i32 as it is.
inline Tensor for_reference(const Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  const DType dtype = is_floating(tensor.dtype()) ? DType::f64 : tensor.dtype();
  Tensor copy = Tensor::empty(tensor.shape(), dtype, Device::reference);
  reference_backend().copy(tensor, copy);
  return copy;
}

inline Tensor reference_zeros(const Shape& shape) {
  return Tensor::zeros(shape, DType::f64, Device::reference);
}

/// The same values in another floating dtype, contiguous.
inline Tensor converted(const Tensor& tensor, DType dtype) {
  Tensor result = Tensor::empty(tensor.shape(), dtype, Device::cpu);
  reference_backend().copy(tensor, result);
  return result;
}

/// An output, f32 or bf16, with guard elements before and behind it, filled with NaN at first.
class Guarded {
 public:
  explicit Guarded(const Shape& shape, DType dtype = DType::f32)
      : whole_(Tensor::empty({shape.numel() + 2 * kGuard}, dtype, Device::cpu)),
        tensor(whole_.slice(0, kGuard, shape.numel()).view(shape)) {
    std::memset(whole_.raw(), kSentinel, whole_.bytes());
    cpu_backend().fill(tensor, std::nan(""));
  }
  /// The same, holding what `values` holds.
  explicit Guarded(const Tensor& values) : Guarded(values.shape(), values.dtype()) {
    std::memcpy(tensor.raw(), values.raw(), values.bytes());
  }
  bool intact() const {
    const auto* bytes = reinterpret_cast<const unsigned char*>(whole_.raw());
    const size_t guard = static_cast<size_t>(kGuard) * size_of(whole_.dtype());
    for (size_t i = 0; i < guard; ++i) {
      if (bytes[i] != kSentinel || bytes[whole_.bytes() - 1 - i] != kSentinel) return false;
    }
    return true;
  }

 private:
  static constexpr int64_t kGuard = 64;
  static constexpr unsigned char kSentinel = 0xA5;
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

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

/// Calls f() with each instruction set that this machine runs.
template <class F>
void for_each_isa(F&& f) {
  const std::string chosen = cpu::kernels().isa;
  for (const char* isa : {"baseline", "avx2", "avx512", "amx"}) {
    if (!cpu::select_kernels(isa)) continue;
    INFO("instruction set " << isa);
    f();
  }
  cpu::select_kernels(chosen.c_str());
}

}  // namespace ssa::test
