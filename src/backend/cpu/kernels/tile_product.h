#pragma once

// Small matrix products on padded tiles, register-blocked: the arithmetic of attention.

#include "backend/cpu/kernels/simd.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// The left factor. It is read one element at a time, so a transposed one costs no more.
struct LeftTile {
  const float* data;
  int64_t row_stride, column_stride;
};

/// Rows of whole vectors; stride in floats, a multiple of kLanes.
struct RightTile {
  const float* data;
  int64_t stride;
};

struct OutTile {
  float* data;
  int64_t stride;
  bool accumulate;
};

/// out (kRows, kVectors·kLanes) [+]= left (kRows, depth) · right (depth, kVectors·kLanes). Keeps
/// all of out in registers.
template <int kRows, int kVectors>
SSA_INLINE void product_block(int64_t depth, LeftTile left, RightTile right, OutTile out) {
  Vec sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = out.accumulate ? load(out.data + r * out.stride + v * kLanes) : Vec{};
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) row[v] = load(right.data + k * right.stride + v * kLanes);
    const float* element = left.data + k * left.column_stride;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float factor = element[r * left.row_stride];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] += factor * row[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(out.data + r * out.stride + v * kLanes, sums[r][v]);
  }
}

/// The last rows, fewer than a full block.
template <int kRows, int kVectors>
void product_rest(int64_t rows, int64_t depth, LeftTile left, RightTile right, OutTile out) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return product_block<kRows, kVectors>(depth, left, right, out);
    product_rest<kRows - 1, kVectors>(rows, depth, left, right, out);
  }
}

/// The most vectors side by side in a block. Rows per block are chosen to leave registers for
/// operands.
constexpr int kMostVectors = kRegisters == 32 ? 4 : 2;
constexpr int block_rows(int vectors) {
  if (kRegisters == 32) return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
  return vectors == 2 ? 6 : 10;
}

template <int kVectors>
void product_columns(int64_t rows, int64_t depth, LeftTile left, RightTile right, OutTile out) {
  constexpr int kRows = block_rows(kVectors);
  while (rows >= kRows) {
    product_block<kRows, kVectors>(depth, left, right, out);
    left.data += kRows * left.row_stride;
    out.data += kRows * out.stride;
    rows -= kRows;
  }
  product_rest<kRows - 1, kVectors>(rows, depth, left, right, out);
}

/// out (rows, vectors·kLanes) [+]= left (rows, depth) · right (depth, vectors·kLanes).
[[maybe_unused]] void tile_product(int64_t rows, int64_t vectors, int64_t depth, LeftTile left,
                                   RightTile right, OutTile out) {
  while (vectors > 0) {
    if (vectors >= kMostVectors) {
      product_columns<kMostVectors>(rows, depth, left, right, out);
    } else if (vectors == 3) {
      product_columns<3>(rows, depth, left, right, out);
    } else if (vectors == 2) {
      product_columns<2>(rows, depth, left, right, out);
    } else {
      product_columns<1>(rows, depth, left, right, out);
    }
    const int64_t done = vectors < kMostVectors ? vectors : kMostVectors;
    right.data += done * kLanes;
    out.data += done * kLanes;
    vectors -= done;
  }
}

/// For two rows kWidth apart: swaps bit kWidth of the row number with that of the lane number.
template <int kWidth, int... kLane>
SSA_INLINE void exchange(Vec& first, Vec& second, std::integer_sequence<int, kLane...>) {
  constexpr int kSecond = static_cast<int>(kLanes);
  const Vec a = first, b = second;
  first = __builtin_shufflevector(a, b, ((kLane & kWidth) ? kSecond + kLane - kWidth : kLane)...);
  second = __builtin_shufflevector(a, b, ((kLane & kWidth) ? kSecond + kLane : kLane + kWidth)...);
}

/// Transposes a square block: swapping every bit of the row number with the lane's is a transpose.
template <int kWidth = 1>
SSA_INLINE void transpose_square(Vec (&rows)[kLanes]) {
  if constexpr (kWidth < kLanes) {
#pragma GCC unroll 16
    for (int r = 0; r < kLanes; ++r) {
      if (!(r & kWidth)) {
        exchange<kWidth>(rows[r], rows[r + kWidth],
                         std::make_integer_sequence<int, static_cast<int>(kLanes)>{});
      }
    }
    transpose_square<2 * kWidth>(rows);
  }
}

/// out (columns, out_stride) = in (rows, in_stride) transposed; rows and columns are multiples of
/// kLanes.
[[maybe_unused]] void transpose(const float* in, int64_t in_stride, int64_t rows, int64_t columns,
                                float* out, int64_t out_stride) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    for (int64_t c = 0; c < columns; c += kLanes) {
      Vec block[kLanes];
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k) block[k] = load(in + (r + k) * in_stride + c);
      transpose_square(block);
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k) store(out + (c + k) * out_stride + r, block[k]);
    }
  }
}

}  // namespace
}  // namespace ssa::cpu::SSA_KERNEL_ISA
