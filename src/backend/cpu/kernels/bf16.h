#pragma once

// Rows of bf16 as vectors of f32. The overloads match those for float in simd.h, so that one
// template serves both. Only kernel files include this.
//
// Rounding has the same bits as core's BFloat16: to nearest even, with subnormal numbers kept and
// NaN a quiet NaN. We do not use the conversion of AVX512_BF16, which turns subnormal inputs into
// 0: a result must depend neither on its place in a row nor on the machine.
//
// This file uses the layout of dtype.h's BFloat16, but none of its functions: the linker could
// merge an inline function that was compiled for two instruction sets.

#include "ssa/core/dtype.h"

#include "backend/cpu/kernels/simd.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

using HalfVec [[gnu::vector_size(kLanes * 2)]] = uint16_t;  // kLanes bf16

SSA_INLINE Vec widen(HalfVec bits) {
  return reinterpret_cast<Vec>(__builtin_convertvector(bits, UintVec) << 16);
}

SSA_INLINE HalfVec narrow(Vec value) {
  const UintVec bits = reinterpret_cast<UintVec>(value);
  const UintVec rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const UintVec quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector(value == value ? rounded : quiet, HalfVec);
}

SSA_INLINE Vec load(const BFloat16* from) {
  HalfVec bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return widen(bits);
}
SSA_INLINE void store(BFloat16* to, Vec value) {
  const HalfVec bits = narrow(value);
  __builtin_memcpy(static_cast<void*>(to), &bits, sizeof bits);
}
/// The first `count` < kLanes elements, then zeros.
SSA_INLINE Vec load_part(const BFloat16* from, int64_t count) {
  HalfVec bits = {};
  __builtin_memcpy(&bits, from, static_cast<uint64_t>(count) * sizeof(uint16_t));
  return widen(bits);
}
SSA_INLINE void store_part(BFloat16* to, Vec value, int64_t count) {
  const HalfVec bits = narrow(value);
  __builtin_memcpy(static_cast<void*>(to), &bits, static_cast<uint64_t>(count) * sizeof(uint16_t));
}

/// One element, for the ends of rows. Rounds alike.
SSA_INLINE float get(const float* from) { return *from; }
SSA_INLINE float get(const BFloat16* from) {
  const uint32_t bits = static_cast<uint32_t>(from->bits) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
SSA_INLINE void put(float* to, float value) { *to = value; }
SSA_INLINE void put(BFloat16* to, float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded =
      value == value ? (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16 : (bits >> 16) | 0x40u;
  to->bits = static_cast<uint16_t>(rounded);
}

}  // namespace
}  // namespace ssa::cpu::SSA_KERNEL_ISA
