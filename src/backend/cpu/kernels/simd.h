#pragma once

// Vectors of f32, as wide as the instruction set of a kernel file allows, and functions on them.
// Only kernel files include this. Everything is in an unnamed namespace, so that the linker never
// merges copies for different instruction sets.

#include <cstdint>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 16;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int64_t kLanes = 8;
constexpr int kRegisters = 16;
#else
constexpr int64_t kLanes = 4;
constexpr int kRegisters = 16;
#endif

#define SSA_INLINE [[gnu::always_inline, maybe_unused]] inline
#define SSA_INLINE_LAMBDA __attribute__((always_inline))

using Vec [[gnu::vector_size(kLanes * 4)]] = float;
using IntVec [[gnu::vector_size(kLanes * 4)]] = int32_t;
using UintVec [[gnu::vector_size(kLanes * 4)]] = uint32_t;
using WideVec [[gnu::vector_size(kLanes * 4)]] = uint64_t;  // half as many lanes, twice as wide

constexpr int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

SSA_INLINE Vec load(const float* from) {
  Vec value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
SSA_INLINE void store(float* to, Vec value) { __builtin_memcpy(to, &value, sizeof value); }
/// The first `count` < kLanes elements, then zeros.
SSA_INLINE Vec load_part(const float* from, int64_t count) {
  Vec value = {};
  __builtin_memcpy(&value, from, static_cast<uint64_t>(count) * sizeof(float));
  return value;
}
SSA_INLINE void store_part(float* to, Vec value, int64_t count) {
  __builtin_memcpy(to, &value, static_cast<uint64_t>(count) * sizeof(float));
}
SSA_INLINE Vec broadcast(float value) { return value - Vec{}; }

/// from[index[0]], from[index[1]], …
SSA_INLINE Vec gather(const float* from, IntVec index) {
#if defined(__AVX512F__)
  // The form without a mask makes GCC 12 warn of an uninitialised variable in its own header.
  return reinterpret_cast<Vec>(_mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff,
                                                        reinterpret_cast<__m512i>(index), from, 4));
#elif defined(__AVX2__)
  return reinterpret_cast<Vec>(_mm256_i32gather_ps(from, reinterpret_cast<__m256i>(index), 4));
#else
  Vec value;
  for (int64_t lane = 0; lane < kLanes; ++lane) value[lane] = from[index[lane]];
  return value;
#endif
}

/// The lower and the upper half of a0 b0 a1 b1 a2 b2 …
template <int... kLane>
SSA_INLINE void interleave(Vec a, Vec b, Vec& lower, Vec& upper,
                           std::integer_sequence<int, kLane...>) {
  constexpr int kHalf = static_cast<int>(kLanes / 2), kSecond = static_cast<int>(kLanes);
  lower = __builtin_shufflevector(a, b, (kLane / 2 + (kLane & 1) * kSecond)...);
  upper = __builtin_shufflevector(a, b, (kHalf + kLane / 2 + (kLane & 1) * kSecond)...);
}
SSA_INLINE void interleave(Vec a, Vec b, Vec& lower, Vec& upper) {
  interleave(a, b, lower, upper, std::make_integer_sequence<int, static_cast<int>(kLanes)>{});
}

/// A NaN in a or b may be lost. Callers pass NaN on by other means.
SSA_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }

SSA_INLINE float sum_lanes(Vec value) {
  float lanes[kLanes];
  store(lanes, value);
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
SSA_INLINE float max_lanes(Vec value) {
  float lanes[kLanes];
  store(lanes, value);
  float highest = lanes[0];
  for (int64_t i = 1; i < kLanes; ++i) highest = highest > lanes[i] ? highest : lanes[i];
  return highest;
}

/// e^x for x ≤ 88, within 2 units in the last place; 0 where x is below `smallest` ≥ -87.3365,
/// where results would be subnormal. NaN gives NaN. Splits x = n·ln 2 + r, |r| ≤ ln 2 / 2; the
/// polynomial is a minimax fit, relative error 3.2e-9, of (e^r - 1 - r)/r².
SSA_INLINE Vec exp(Vec x, float smallest = -87.3365f) {
  const Vec lowest = broadcast(smallest);
  const Vec clamped = x < lowest ? lowest : x;
  const Vec magic = broadcast(12582912.0f);  // 1.5·2^23: adding it rounds to an integer
  const Vec shifted = clamped * 1.44269504f + magic;
  const Vec n = shifted - magic;
  const Vec r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  Vec p = 0.00139500723f * r + 0.00836894763f;
  p = p * r + 0.0416662136f;
  p = p * r + 0.166665183f;
  p = p * r + 0.500000009f;
  p = (p * r) * r + r;
  p = p + 1.0f;
  const UintVec exponent = (reinterpret_cast<UintVec>(shifted) + 127u) << 23;
  const Vec result = p * reinterpret_cast<Vec>(exponent);
  return x < lowest ? Vec{} : result;
}

/// e^x - 1 for x ≤ 0, without cancellation near 0.
SSA_INLINE Vec expm1_negative(Vec x) {
  Vec p = 0.00139500723f * x + 0.00836894763f;
  p = p * x + 0.0416662136f;
  p = p * x + 0.166665183f;
  p = p * x + 0.500000009f;
  p = (p * x) * x + x;
  return x > -0.346f ? p : exp(x) - 1.0f;
}

/// ln x for normal x > 0, within 2 units in the last place of the result or of 1, whichever is
/// more. NaN gives NaN. Splits x = 2ⁿ·m with √½ ≤ m < √2; ln m = 2·artanh(s), s = (m - 1)/(m + 1),
/// by its series, cut off where the relative error is 2e-9.
SSA_INLINE Vec log(Vec x) {
  const IntVec bits = reinterpret_cast<IntVec>(x);
  const IntVec exponent = (bits - 0x3f3504f3) >> 23;  // of √½
  const Vec n = __builtin_convertvector(exponent, Vec);
  const Vec m = reinterpret_cast<Vec>(bits - (exponent << 23));
  const Vec s = (m - 1.0f) / (m + 1.0f), square = s * s;
  Vec p = (2.0f / 9) * square + (2.0f / 7);
  p = p * square + (2.0f / 5);
  p = p * square + (2.0f / 3);
  const Vec of_m = (p * square) * s + 2.0f * s;
  const Vec result = n * 0.693359375f + (of_m - n * 2.12194440e-4f);  // ln 2 in two parts
  return x == x ? result : x;
}

/// ln(1 + x) for x ≥ 0, without cancellation near 0: adds what rounding 1 + x has lost.
SSA_INLINE Vec log1p_positive(Vec x) {
  const Vec sum = 1.0f + x;
  return log(sum) + (x - (sum - 1.0f)) / sum;
}

/// Φ(-t)/e^(-t²/2) for t ≥ 0: a smooth function that falls from 1/2 like 0.4/t. A minimax fit in
/// u = 1/(1 + 0.35 t) over t ≤ 20, relative error 4.6e-8.
SSA_INLINE Vec scaled_normal_tail(Vec t) {
  const Vec u = 1.0f / (1.0f + 0.35f * t);
  Vec q = -0.028496111903f * u + 0.141124662523f;
  q = q * u - 0.250479299187f;
  q = q * u + 0.153924071865f;
  q = q * u - 0.0199863843238f;
  q = q * u + 0.104386138586f;
  q = q * u + 0.120068897576f;
  q = q * u + 0.139835441494f;
  q = q * u + 0.139622604029f;
  return q * u;
}

/// 32×32→64 bit products of the even lanes.
SSA_INLINE WideVec multiply_even(UintVec a, uint32_t b) {
#if defined(__AVX512F__)
  // The form without a mask makes GCC 12 warn of an uninitialised variable in its own header.
  return reinterpret_cast<WideVec>(_mm512_maskz_mul_epu32(
      0xff, reinterpret_cast<__m512i>(a), _mm512_set1_epi64(static_cast<int64_t>(b))));
#elif defined(__AVX2__)
  return reinterpret_cast<WideVec>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(static_cast<int64_t>(b))));
#elif defined(__SSE2__)
  return reinterpret_cast<WideVec>(
      _mm_mul_epu32(reinterpret_cast<__m128i>(a), _mm_set1_epi64x(static_cast<int64_t>(b))));
#else
  return (reinterpret_cast<WideVec>(a) & 0xffffffffu) * uint64_t{b};
#endif
}

/// Lane 0 holds the low half of a 64-bit word on every machine this is built for.
SSA_INLINE void multiply(UintVec a, uint32_t b, UintVec& high, UintVec& low) {
  const WideVec even = multiply_even(a, b);
  const WideVec odd =
      multiply_even(reinterpret_cast<UintVec>(reinterpret_cast<WideVec>(a) >> 32), b);
  constexpr uint64_t kLow = 0xffffffffu;
  high = reinterpret_cast<UintVec>((even >> 32) | (odd & ~kLow));
  low = reinterpret_cast<UintVec>((even & kLow) | (odd << 32));
}

/// Philox4x32-10 (ssa/core/philox.h) of kLanes blocks at a time: word k of block l in word[k][l].
template <class Stream>
SSA_INLINE void philox(const Stream& stream, UintVec block, UintVec (&word)[4]) {
  UintVec c0 = block;
  UintVec c1 = UintVec{} + stream.counter[0];
  UintVec c2 = UintVec{} + stream.counter[1];
  UintVec c3 = UintVec{} + stream.counter[2];
  uint32_t key0 = stream.key[0], key1 = stream.key[1];
  for (int round = 0; round < 10; ++round) {
    UintVec high0, low0, high1, low1;
    multiply(c0, 0xD2511F53u, high0, low0);
    multiply(c2, 0xCD9E8D57u, high1, low1);
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  word[0] = c0;
  word[1] = c1;
  word[2] = c2;
  word[3] = c3;
}

}  // namespace
}  // namespace ssa::cpu::SSA_KERNEL_ISA
