#include "dist/rank_sum.h"

#include <algorithm>
#include <array>
#include <bit>

namespace ssa::dist {

namespace {

constexpr int64_t kBlock = 512;  // scalars that are summed in the first-level cache

// Written so that compilers vectorize it, unlike BFloat16's own conversion.
float widened(BFloat16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }
float widened(float value) { return value; }
double widened(double value) { return value; }

void narrow(float value, float& out) { out = value; }
void narrow(double value, double& out) { out = value; }
void narrow(float value, BFloat16& out) {
  const auto word = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
  const uint32_t quiet_nan = (word >> 16) | 0x40u;
  out.bits = static_cast<uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded);
}

template <class T, class Sum>
void sum_as(std::span<const void* const> parts, void* out, int64_t count) {
  std::array<Sum, kBlock> sums;
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t length = std::min(kBlock, count - first);
    // The first part is copied, not added to 0, which would lose the sign of a zero.
    const T* from = static_cast<const T*>(parts.front()) + first;
    for (int64_t i = 0; i < length; ++i) sums[static_cast<size_t>(i)] = widened(from[i]);
    for (const void* part : parts.subspan(1)) {
      from = static_cast<const T*>(part) + first;
      for (int64_t i = 0; i < length; ++i) sums[static_cast<size_t>(i)] += widened(from[i]);
    }
    T* to = static_cast<T*>(out) + first;
    for (int64_t i = 0; i < length; ++i) narrow(sums[static_cast<size_t>(i)], to[i]);
  }
}

}  // namespace

void sum_in_order(DType dtype, std::span<const void* const> parts, void* out, int64_t count) {
  switch (dtype) {
    case DType::f32:
      return sum_as<float, float>(parts, out, count);
    case DType::bf16:
      return sum_as<BFloat16, float>(parts, out, count);
    case DType::f64:
      return sum_as<double, double>(parts, out, count);
    default:
      throw ShapeError("f32, bf16 and f64 are summed over ranks, not {}", name(dtype));
  }
}

}  // namespace ssa::dist
