#pragma once

// GELU x·Φ(x) and its slope Φ(x) + x·φ(x), as exact as the dtype of the data needs, and the tanh
// approximation. Only kernel files include this.

#include "backend/cpu/kernels/bf16.h"
#include "backend/cpu/kernels/simd.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// Φ(-t) and e^(-t²/2), for t ≥ 0.
struct NormalTail {
  Vec tail, bell;
};

SSA_INLINE NormalTail normal_tail(Vec t, const float*) {
  const Vec bell = exp(-0.5f * t * t);
  return {bell * scaled_normal_tail(t), bell};
}

/// 1/x within 7e-5.
SSA_INLINE Vec rough_inverse(Vec x) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vec>(_mm512_maskz_rcp14_ps(0xffff, reinterpret_cast<__m512>(x)));
#else
  return 1.0f / x;
#endif
}

/// Relative error within 4e-4, a tenth of the distance between neighbouring bf16. Works like exp()
/// and scaled_normal_tail(), with shorter minimax fits: of 2^r, |r| ≤ 1/2, within 7.5e-5, and in u
/// = 1/(1 + 0.3 t), t ≤ 13.5, within 2.3e-4.
SSA_INLINE NormalTail normal_tail(Vec t, const BFloat16*) {
  const Vec lowest = broadcast(-125.0f);
  const Vec power = -0.721347520f * t * t;  // log 2 of the bell
  const Vec clamped = power < lowest ? lowest : power;
  const Vec magic = broadcast(12582912.0f);  // 1.5·2^23: adding it rounds to an integer
  const Vec shifted = clamped + magic;
  const Vec r = clamped - (shifted - magic);
  Vec p = 0.0551717095f * r + 0.242611302f;
  p = p * r + 0.693260994f;
  p = p * r + 0.999928063f;
  const UintVec scaled = reinterpret_cast<UintVec>(p) + (reinterpret_cast<UintVec>(shifted) << 23);
  const Vec bell = power < lowest ? Vec{} : reinterpret_cast<Vec>(scaled);
  const Vec u = rough_inverse(1.0f + 0.3f * t);
  Vec q = 0.208844203f * u + 0.0355886294f;
  q = q * u + 0.137477744f;
  q = q * u + 0.118204447f;
  return {bell * (q * u), bell};
}

/// The type of `data` says how exact the results are.
template <class T>
SSA_INLINE Vec gelu(Vec x, const T* data) {
  const Vec t = x < 0.0f ? -x : x;
  return (x > 0.0f ? x : Vec{}) - t * normal_tail(t, data).tail;
}

/// Returns the slope; `value` receives gelu(x).
template <class T>
SSA_INLINE Vec gelu_slope(Vec x, const T* data, Vec& value) {
  const Vec t = x < 0.0f ? -x : x;
  const NormalTail at = normal_tail(t, data);
  value = (x > 0.0f ? x : Vec{}) - t * at.tail;
  return (x < 0.0f ? at.tail : 1.0f - at.tail) + x * (0.398942280f * at.bell);
}

/// x/2·(1 + tanh u) = x/(1 + e^(-2u)), u = √(2/π)·(x + 0.044715 x³): the slope; `value` receives
/// it.
SSA_INLINE Vec gelu_tanh_slope(Vec x, Vec& value) {
  const Vec far =
      broadcast(1e3f);  // beyond it powers of x would overflow, and the result is the same
  const Vec t = x < 0.0f ? -x : x;
  const Vec near = t < far ? t : far;
  const Vec square = near * near;
  const Vec power = exp(near * (-1.59576912f - 0.0713548162f * square));
  const Vec whole = 1.0f / (1.0f + power);
  const Vec tail = power * whole;  // of the logistic function, beyond t
  value = (x > 0.0f ? x : Vec{}) - t * tail;
  const Vec density = tail * whole * (1.59576912f + 0.214064449f * square);
  return (x < 0.0f ? tail : 1.0f - tail) + x * density;
}

}  // namespace
}  // namespace ssa::cpu::SSA_KERNEL_ISA
