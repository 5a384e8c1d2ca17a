#pragma once

// GELU x·Φ(x), with the standard normal distribution Φ, its slope Φ(x) + x·φ(x), and the tanh
// approximation.

#include <type_traits>

#include "backend/cuda/device.h"

namespace ssa::cuda {

struct ValueAndSlope {
  float value, slope;
};

/// Φ(-t) and e^(-t²/2), for t ≥ 0.
struct NormalTail {
  float tail, bell;
};

/// Φ(-t)/e^(-t²/2) is a smooth function that falls from 1/2 like 0.4/t. A minimax fit in
/// u = 1/(1 + 0.35 t) over t ≤ 20, relative error 4.6e-8.
__device__ inline NormalTail exact_normal_tail(float t) {
  const float u = 1.0f / (1.0f + 0.35f * t);
  float q = -0.028496111903f * u + 0.141124662523f;
  q = q * u - 0.250479299187f;
  q = q * u + 0.153924071865f;
  q = q * u - 0.0199863843238f;
  q = q * u + 0.104386138586f;
  q = q * u + 0.120068897576f;
  q = q * u + 0.139835441494f;
  q = q * u + 0.139622604029f;
  const float bell = expf(-0.5f * t * t);
  return {bell * (q * u), bell};
}

/// Relative error within 2.5e-4, a fifteenth of the distance between neighbouring bf16: a shorter
/// fit in u = 1/(1 + 0.3 t), t ≤ 13.5, with the fast exponential and division.
__device__ inline NormalTail rough_normal_tail(float t) {
  const float u = __fdividef(1.0f, 1.0f + 0.3f * t);
  float q = 0.208844203f * u + 0.0355886294f;
  q = q * u + 0.137477744f;
  q = q * u + 0.118204447f;
  const float bell = __expf(-0.5f * t * t);
  return {bell * (q * u), bell};
}

/// Φ(-t) is 0 in f32 from here on. Larger t are clamped, since infinity times 0 is NaN.
inline constexpr float kFar = 1e3f;

/// As exact as T can represent.
template <class T>
__device__ ValueAndSlope gelu(float x) {
  const float t = fabsf(x) > kFar ? kFar : fabsf(x);  // NaN stays
  NormalTail at;
  if constexpr (std::is_same_v<T, BFloat16>) {
    at = rough_normal_tail(t);
  } else {
    at = exact_normal_tail(t);
  }
  const float value = (x > 0.0f ? x : 0.0f) - t * at.tail;
  const float below = x < 0.0f ? at.tail : 1.0f - at.tail;
  return {value, below + (x < 0.0f ? -t : t) * (0.398942280f * at.bell)};
}

/// x/2·(1 + tanh u) = x/(1 + e^(-2u)), u = √(2/π)·(x + 0.044715 x³).
__device__ inline ValueAndSlope gelu_tanh(float x) {
  const float t = fabsf(x) > kFar ? kFar : fabsf(x);
  const float power = expf(t * (-1.59576912f - 0.0713548162f * t * t));
  const float whole = 1.0f / (1.0f + power);
  const float tail = power * whole;  // of the logistic function, beyond t
  const float density = tail * whole * (1.59576912f + 0.214064449f * t * t);
  const float below = x < 0.0f ? tail : 1.0f - tail;
  return {(x > 0.0f ? x : 0.0f) - t * tail, below + (x < 0.0f ? -t : t) * density};
}

}  // namespace ssa::cuda
