#pragma once

// CUDA's qualifiers and vector types.

#include <bit>
#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// One block runs at a time, so one instance is enough.
#define __shared__ static
#define __constant__ static

#define SSA_EMULATED_VECTORS(Name, T)                                   \
  struct alignas(2 * sizeof(T)) Name##2 {                               \
    T x, y;                                                             \
  };                                                                    \
  struct Name##3 {                                                      \
    T x, y, z;                                                          \
  };                                                                    \
  struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) Name##4 {     \
    T x, y, z, w;                                                       \
  };                                                                    \
  constexpr Name##2 make_##Name##2(T x, T y) { return {x, y}; }         \
  constexpr Name##3 make_##Name##3(T x, T y, T z) { return {x, y, z}; } \
  constexpr Name##4 make_##Name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

SSA_EMULATED_VECTORS(uchar, unsigned char)
SSA_EMULATED_VECTORS(short, short)
SSA_EMULATED_VECTORS(ushort, unsigned short)
SSA_EMULATED_VECTORS(int, int)
SSA_EMULATED_VECTORS(uint, unsigned)
SSA_EMULATED_VECTORS(longlong, long long)
SSA_EMULATED_VECTORS(ulonglong, unsigned long long)
SSA_EMULATED_VECTORS(float, float)
SSA_EMULATED_VECTORS(double, double)
#undef SSA_EMULATED_VECTORS

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
