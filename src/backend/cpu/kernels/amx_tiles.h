#pragma once

// Matrix products of bf16 with f32 sums on AMX tiles, and the layouts that they need. Only kernel
// files compiled for AMX include this.
//
// A tile is 16 rows of 64 bytes. TDPBF16PS multiplies a left tile, 16 rows of 32 bf16, by a right
// tile, 32 rows of 16 bf16, and adds the product to a tile of 16×16 f32. The right tile is stored
// in pairs of rows: word (k, c) holds elements (2k, c) and (2k+1, c). Products of bf16 are exact,
// sums are f32, subnormal operands count as 0 (Intel SDM, volume 2, TDPBF16PS).

#include "backend/cpu/kernels/simd.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// Rows, columns and depths of products are multiples of this. A block is 2×2 tiles, so every
/// loaded tile is used twice.
constexpr int64_t kBlock = 32;

/// Configures all tiles as 16 rows of 64 bytes while it lives.
class TileSession {
 public:
  TileSession() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    // The intrinsic tells the compiler that it reads the first bytes only.
    __asm__ volatile("" ::"r"(&config) : "memory");
    _tile_loadconfig(&config);
  }
  ~TileSession() { _tile_release(); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;
};

/// bf16 in rows; stride in elements.
struct RowMatrix {
  const uint16_t* data;
  int64_t stride;
};

/// bf16 in pairs of rows; stride in words.
struct PairMatrix {
  const uint32_t* data;
  int64_t stride;
};

/// f32 in rows; stride in elements.
struct SumMatrix {
  float* data;
  int64_t stride;
  bool accumulate;
};

/// out (32, 32) [+]= left (32, depth) · right (depth, 32)
SSA_INLINE void product_block(int64_t depth, RowMatrix left, PairMatrix right, SumMatrix out) {
  float* lower = out.data + 16 * out.stride;
  const int64_t out_bytes = out.stride * 4, left_bytes = left.stride * 2;
  const int64_t right_bytes = right.stride * 4;
  if (out.accumulate) {
    _tile_loadd(0, out.data, out_bytes);
    _tile_loadd(1, out.data + 16, out_bytes);
    _tile_loadd(2, lower, out_bytes);
    _tile_loadd(3, lower + 16, out_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < depth; k += 32) {
    const uint16_t* upper_left = left.data + k;
    const uint32_t* pairs = right.data + k / 2 * right.stride;
    _tile_loadd(4, upper_left, left_bytes);
    _tile_loadd(6, pairs, right_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, pairs + 16, right_bytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, upper_left + 16 * left.stride, left_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, out.data, out_bytes);
  _tile_stored(1, out.data + 16, out_bytes);
  _tile_stored(2, lower, out_bytes);
  _tile_stored(3, lower + 16, out_bytes);
}

/// out (rows, columns) [+]= left (rows, depth) · right (depth, columns)
[[maybe_unused]] void amx_product(int64_t rows, int64_t columns, int64_t depth, RowMatrix left,
                                  PairMatrix right, SumMatrix out) {
  // Makes the compiler store the operands first: it does not know that tile loads read memory.
  __asm__ volatile("" ::: "memory");
  for (int64_t r = 0; r < rows; r += kBlock) {
    for (int64_t c = 0; c < columns; c += kBlock) {
      product_block(depth, {left.data + r * left.stride, left.stride},
                    {right.data + c, right.stride},
                    {out.data + r * out.stride + c, out.stride, out.accumulate});
    }
  }
}

using Halves [[gnu::vector_size(64)]] = uint16_t;  // 32 bf16

template <class V, class T>
SSA_INLINE V load_bits(const T* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
template <class V, class T>
SSA_INLINE void store_bits(T* to, V value) {
  __builtin_memcpy(to, &value, sizeof value);
}

/// f32 rounded to bf16: a in the lower half, b in the upper. To nearest even; subnormal numbers
/// become 0, as they would as operands.
SSA_INLINE Halves round_both(Vec a, Vec b) {
  return reinterpret_cast<Halves>(
      _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(a)));
}

template <int... kLane>
SSA_INLINE Halves alternate(Halves a, Halves b, int offset, std::integer_sequence<int, kLane...>) {
  return offset ? __builtin_shufflevector(a, b, (16 + kLane / 2 + (kLane & 1) * 32)...)
                : __builtin_shufflevector(a, b, (kLane / 2 + (kLane & 1) * 32)...);
}
/// The pairs (a0, b0), (a1, b1) … of two rows of 32: the lower and the upper 16 of them.
SSA_INLINE void pair_up(Halves a, Halves b, Halves& lower, Halves& upper) {
  lower = alternate(a, b, 0, std::make_integer_sequence<int, 32>{});
  upper = alternate(a, b, 1, std::make_integer_sequence<int, 32>{});
}
template <int... kLane>
SSA_INLINE Halves halves_side_by_side(Halves a, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, a, (kLane / 2 + (kLane & 1) * 16)...);
}
/// The pairs (a0, b0), (a1, b1) … of 16 f32 each, rounded.
SSA_INLINE Halves round_pairs(Vec a, Vec b) {
  return halves_side_by_side(round_both(a, b), std::make_integer_sequence<int, 32>{});
}

/// rows (2n, columns) in pairs of rows: (n, columns) words. columns is a multiple of 32.
[[maybe_unused]] void pack_pairs(const uint16_t* rows, int64_t count, int64_t columns,
                                 uint32_t* out) {
  for (int64_t r = 0; r < count; r += 2) {
    for (int64_t c = 0; c < columns; c += 32) {
      Halves lower, upper;
      pair_up(load_bits<Halves>(rows + r * columns + c),
              load_bits<Halves>(rows + (r + 1) * columns + c), lower, upper);
      store_bits(out + r / 2 * columns + c, lower);
      store_bits(out + r / 2 * columns + c + 16, upper);
    }
  }
}

}  // namespace
}  // namespace ssa::cpu::SSA_KERNEL_ISA
