#pragma once

// The basis of all kernels: conversions between storage types and f32, warp and block reductions,
// dynamic shared memory. Kernel files include this header and none of CUDA's, because they are
// compiled twice: by nvcc for devices, and as plain C++ by tests/cuda_emulation, whose headers
// replace CUDA's and define SSA_CUDA_EMULATION.

#include <cstdint>

#include <cuda_runtime.h>

#include "ssa/core/dtype.h"
#include "ssa/core/philox.h"

namespace ssa::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// ---- storage types -----------------------------------------------------------------------------

__device__ inline float to_float(float value) { return value; }

__device__ inline float to_float(BFloat16 value) {
  const uint32_t bits = uint32_t{value.bits} << 16;
#ifdef SSA_CUDA_EMULATION
  return std::bit_cast<float>(bits);
#else
  return __uint_as_float(bits);
#endif
}

__device__ inline float to_float(Float16 value) {
#ifdef SSA_CUDA_EMULATION
  return static_cast<float>(value);
#else
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#endif
}

/// f32 rounded to T, to nearest even.
template <class T>
__device__ T from_float(float value);

template <>
__device__ inline float from_float<float>(float value) {
  return value;
}

template <>
__device__ inline BFloat16 from_float<BFloat16>(float value) {
#ifdef SSA_CUDA_EMULATION
  return BFloat16(value);
#else
  BFloat16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
#endif
}

template <>
__device__ inline Float16 from_float<Float16>(float value) {
#ifdef SSA_CUDA_EMULATION
  return Float16(value);
#else
  Float16 result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
#endif
}

// ---- shared memory -----------------------------------------------------------------------------

/// The block's dynamic shared memory, 128-byte aligned.
template <class T>
__device__ T* dynamic_shared() {
#ifdef SSA_CUDA_EMULATION
  return reinterpret_cast<T*>(emulation::dynamic_shared_memory());
#else
  extern __shared__ __align__(128) unsigned char ssa_dynamic_shared[];
  return reinterpret_cast<T*>(ssa_dynamic_shared);
#endif
}

// ---- reductions --------------------------------------------------------------------------------
// Butterflies: every lane gets the same bits, and the order of the additions is fixed.

template <class T>
__device__ T warp_sum(T value) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(kAllLanes, value, mask);
  return value;
}

template <class T>
__device__ T warp_max(T value) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, value, mask);
    value = other > value ? other : value;
  }
  return value;
}

/// The sum over the block's threads, returned to all of them. blockDim.x is a multiple of 32, at
/// most 1024; the other extents are 1.
template <class T>
__device__ T block_sum(T value) {
  __shared__ T partial[kWarp];
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  value = warp_sum(value);
  __syncthreads();  // the results of an earlier call may still be read
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  return warp_sum(lane < blockDim.x / kWarp ? partial[lane] : T{});
}

}  // namespace ssa::cuda
