#pragma once

// PTX instructions as functions: matrix multiply-accumulate of a warp (mma.sync), loads of its
// operands from shared memory (ldmatrix), asynchronous copies from global to shared memory
// (cp.async), and approximate powers of 2. The PTX ISA defines the layouts, in "Matrix
// multiply-accumulate operation using mma instruction". Each function has a twin in plain C++ for
// tests/cuda_emulation.

#include "backend/cuda/device.h"

#ifdef SSA_CUDA_EMULATION
#include <cmath>
#include <cstring>
#endif

namespace ssa::cuda {

#ifdef SSA_CUDA_EMULATION
namespace twins {
/// Ends the program if a device would report a misaligned address.
inline void require_aligned(const void* pointer, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(pointer) % bytes != 0) __builtin_trap();
}
}  // namespace twins
#endif

// ---- vectors -----------------------------------------------------------------------------------

/// Reads or writes a V at an aligned address, whatever type was stored there.
template <class V>
__device__ inline V load_vector(const void* from) {
#ifdef SSA_CUDA_EMULATION
  twins::require_aligned(from, sizeof(V));
  V value;
  std::memcpy(&value, from, sizeof(V));
  return value;
#else
  return *static_cast<const V*>(from);
#endif
}

template <class V>
__device__ inline void store_vector(void* to, V value) {
#ifdef SSA_CUDA_EMULATION
  twins::require_aligned(to, sizeof(V));
  std::memcpy(to, &value, sizeof(V));
#else
  *static_cast<V*>(to) = value;
#endif
}

/// Two numbers rounded to T, `low` in the lower half.
template <class T>
__device__ inline uint32_t pack(float low, float high) {
  return from_float<T>(low).bits | uint32_t{from_float<T>(high).bits} << 16;
}
#ifndef SSA_CUDA_EMULATION
template <>
__device__ inline uint32_t pack<BFloat16>(float low, float high) {
  uint32_t result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}
template <>
__device__ inline uint32_t pack<Float16>(float low, float high) {
  uint32_t result;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}
#endif

/// 2^x within 2 units in the last place; denormal results are 0.
__device__ inline float exp2_approx(float x) {
#ifdef SSA_CUDA_EMULATION
  return std::exp2(x);
#else
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

// ---- copies to shared memory -------------------------------------------------------------------
// A copy is complete for its thread after cp_async_wait_all(), and for the block after the next
// __syncthreads().

#ifndef SSA_CUDA_EMULATION
__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
#endif

/// Copies 16 bytes between addresses aligned to 16. Writes zeros, and does not read `from`, unless
/// `valid`.
__device__ inline void cp_async_16(void* to, const void* from, bool valid) {
#ifdef SSA_CUDA_EMULATION
  twins::require_aligned(to, 16);
  twins::require_aligned(from, 16);
  emulation::copy_async(to, valid ? from : nullptr, 16);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
#endif
}

/// Copies kBytes = 4 or 8 between addresses aligned to that.
template <int kBytes>
__device__ inline void cp_async_small(void* to, const void* from) {
  static_assert(kBytes == 4 || kBytes == 8);
#ifdef SSA_CUDA_EMULATION
  twins::require_aligned(to, kBytes);
  twins::require_aligned(from, kBytes);
  emulation::copy_async(to, from, kBytes);
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(to)), "l"(from),
               "n"(kBytes)
               : "memory");
#endif
}

__device__ inline void cp_async_wait_all() {
#ifdef SSA_CUDA_EMULATION
  emulation::finish_copies();
#else
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// ---- matrices ----------------------------------------------------------------------------------

#ifdef SSA_CUDA_EMULATION
namespace twins {

/// Lane 8·m + r gave the address of row r of matrix m.
inline uint16_t matrix_element(const void* const* rows, int matrix, int row, int column) {
  require_aligned(rows[8 * matrix + row], 16);
  uint16_t bits;
  std::memcpy(&bits, static_cast<const uint16_t*>(rows[8 * matrix + row]) + column, sizeof(bits));
  return bits;
}

template <class T>
float half_of(uint32_t pair, int high) {
  T value;
  value.bits = static_cast<uint16_t>(high ? pair >> 16 : pair & 0xffffu);
  return to_float(value);
}

struct Operands {
  uint32_t a[4], b[2];
};

/// A 16×16: registers 0 and 2 of lane 4·g + t hold row g, 1 and 3 row g + 8; 0 and 1 hold columns
/// 2t and 2t+1, 2 and 3 columns 2t+8 and 2t+9.
template <class T>
float a_element(const Operands* lanes, int row, int column) {
  const int lane = 4 * (row % 8) + column % 8 / 2;
  return half_of<T>(lanes[lane].a[row / 8 + 2 * (column / 8)], column % 2);
}

/// B 16×8: register 0 of lane 4·g + t holds rows 2t and 2t+1 of column g, 1 rows 2t+8 and 2t+9.
template <class T>
float b_element(const Operands* lanes, int row, int column) {
  return half_of<T>(lanes[4 * column + row % 8 / 2].b[row / 8], row % 2);
}

}  // namespace twins
#endif

/// Four 8×8 matrices of 16-bit elements. Lane 8·m + r gives the address of row r of matrix m, 16
/// aligned bytes; register m of lane 4·g + t gets elements 2t and 2t+1 of that matrix' row g.
__device__ inline void ldmatrix_x4(uint32_t (&registers)[4], const void* row) {
#ifdef SSA_CUDA_EMULATION
  const void* const* rows = emulation::gather_lanes(row);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (int m = 0; m < 4; ++m) {
    const uint32_t low = twins::matrix_element(rows, m, lane / 4, lane % 4 * 2);
    registers[m] = low | uint32_t{twins::matrix_element(rows, m, lane / 4, lane % 4 * 2 + 1)} << 16;
  }
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

/// The same, each matrix transposed: the lane gets elements 2t and 2t+1 of column g.
__device__ inline void ldmatrix_x4_transposed(uint32_t (&registers)[4], const void* row) {
#ifdef SSA_CUDA_EMULATION
  const void* const* rows = emulation::gather_lanes(row);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (int m = 0; m < 4; ++m) {
    const uint32_t low = twins::matrix_element(rows, m, lane % 4 * 2, lane / 4);
    registers[m] = low | uint32_t{twins::matrix_element(rows, m, lane % 4 * 2 + 1, lane / 4)} << 16;
  }
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

/// sums (16×8) += A (16×16, row by row) · B (16×8, column by column), in f32. Lane 4·g + t holds
/// columns 2t and 2t+1 of the sums: [0] and [1] of row g, [2] and [3] of row g + 8.
template <class T>
__device__ inline void mma_16x8x16(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0,
                                   uint32_t b1) {
#ifdef SSA_CUDA_EMULATION
  const twins::Operands* lanes =
      emulation::gather_lanes(twins::Operands{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (int part = 0; part < 4; ++part) {
    const int row = lane / 4 + part / 2 * 8, column = lane % 4 * 2 + part % 2;
    float sum = 0;
    for (int k = 0; k < 16; ++k) {
      sum += twins::a_element<T>(lanes, row, k) * twins::b_element<T>(lanes, k, column);
    }
    sums[part] += sum;
  }
#else
  static_assert(sizeof(T) == 2);
  if constexpr (std::is_same_v<T, BFloat16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
#endif
}

}  // namespace ssa::cuda
