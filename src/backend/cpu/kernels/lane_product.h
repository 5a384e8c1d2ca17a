#pragma once

// Rows of a block of heads with a head in each lane, and matrix products on them: lane l of every
// operand belongs to head l, so that one instruction multiplies for kLanes heads. Attention inside
// graphs lives on it, where heads are many and matrices small: neither the number of nodes nor the
// head size leaves lanes without work.

#include "backend/cpu/kernels/bf16.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/tile_product.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// Heads side by side, kLanes at most.
struct HeadBlock {
  int64_t first, count;
};

/// A value of each of the block's heads, 0 in the other lanes.
template <class T>
SSA_INLINE Vec load_lanes(const T* from, int64_t count) {
  return count < kLanes ? load_part(from, count) : load(from);
}
template <class T>
SSA_INLINE void store_lanes(T* to, Vec value, int64_t count) {
  count < kLanes ? store_part(to, value, count) : store(to, value);
}

template <class T>
SSA_INLINE T* heads_of_row(const HeadRows& rows, int64_t row, HeadBlock heads) {
  return static_cast<T*>(rows.data) + row * rows.row_stride + heads.first * rows.head_stride;
}

/// Rows fetched ahead of those in use. Hardware does not foresee a block of heads, which is a part
/// of each row; without this, half of the time is spent waiting for memory (docs/performance.md).
constexpr int64_t kRowsAhead = 12;

/// Fetches the row kRowsAhead behind this one into the second cache; the first is too small to keep
/// it until then. Where there is no such row nothing happens.
template <bool kToWrite, class T>
SSA_INLINE void fetch_ahead(const HeadRows& rows, const T* row, HeadBlock heads,
                            int64_t head_size) {
  const auto* bytes = reinterpret_cast<const char*>(row + kRowsAhead * rows.row_stride);
  const int64_t count = heads.count * head_size * static_cast<int64_t>(sizeof(T));
  for (int64_t i = 0; i < count; i += 64) __builtin_prefetch(bytes + i, kToWrite, 2);
}

/// out (count, head_size) of vectors = factor · the rows from `first` on.
template <class T>
void pack_heads(const HeadRows& rows, int64_t first, int64_t count, HeadBlock heads,
                int64_t head_size, float factor, float* out) {
  for (int64_t row = first; row < first + count; ++row, out += head_size * kLanes) {
    const T* from = heads_of_row<T>(rows, row, heads);
    fetch_ahead<false>(rows, from, heads, head_size);
    for (int64_t d = 0; d < head_size; d += kLanes) {
      const int64_t width = head_size - d < kLanes ? head_size - d : kLanes;
      Vec block[kLanes];
#pragma GCC unroll 16
      for (int64_t h = 0; h < kLanes; ++h) {
        block[h] = h < heads.count ? load_lanes(from + h * head_size + d, width) : Vec{};
      }
      transpose_square(block);
#pragma GCC unroll 16
      for (int64_t k = 0; k < kLanes; ++k) {
        if (k < width) store(out + (d + k) * kLanes, factor * block[k]);
      }
    }
  }
}

/// The way back for one row: row = factor · in, rounded to T.
template <class T>
void unpack_heads(const float* in, Vec factor, const HeadRows& rows, int64_t row, HeadBlock heads,
                  int64_t head_size) {
  T* to = heads_of_row<T>(rows, row, heads);
  fetch_ahead<true>(rows, to, heads, head_size);
  for (int64_t d = 0; d < head_size; d += kLanes) {
    const int64_t width = head_size - d < kLanes ? head_size - d : kLanes;
    Vec block[kLanes];
#pragma GCC unroll 16
    for (int64_t k = 0; k < kLanes; ++k) {
      block[k] = k < width ? factor * load(in + (d + k) * kLanes) : Vec{};
    }
    transpose_square(block);
#pragma GCC unroll 16
    for (int64_t h = 0; h < kLanes; ++h) {
      if (h < heads.count) store_lanes(to + h * head_size + d, block[h], width);
    }
  }
}

/// A matrix of vectors; strides in vectors, so that a transposed one costs nothing.
template <class Float>
struct LaneMatrix {
  Float* data;
  int64_t row_stride, column_stride;
  SSA_INLINE Float* at(int64_t row, int64_t column) const {
    return data + (row * row_stride + column * column_stride) * kLanes;
  }
  SSA_INLINE LaneMatrix from(int64_t row, int64_t column) const {
    return {at(row, column), row_stride, column_stride};
  }
};
using LaneInput = LaneMatrix<const float>;
using LaneOutput = LaneMatrix<float>;

/// out (kRows, kColumns) [+]= left (kRows, depth) · right (depth, kColumns), with the whole of out
/// in registers.
template <int kRows, int kColumns>
void lane_block(int64_t depth, LaneInput left, LaneInput right, LaneOutput out, bool accumulate) {
  Vec sums[kRows][kColumns];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) sums[r][c] = accumulate ? load(out.at(r, c)) : Vec{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec row[kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) row[c] = load(right.at(k, c));
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Vec factor = load(left.at(r, k));
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) sums[r][c] += factor * row[c];
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) store(out.at(r, c), sums[r][c]);
  }
}

/// As many as leave registers for a row of `right` and a factor.
constexpr int kLaneRows = kRegisters == 32 ? 4 : 3;
constexpr int kLaneColumns = 4;

/// The last columns, fewer than a block has.
template <int kRows, int kColumns = kLaneColumns - 1>
void lane_rest(int64_t columns, int64_t depth, LaneInput left, LaneInput right, LaneOutput out,
               bool accumulate) {
  if constexpr (kColumns > 0) {
    if (columns == kColumns) {
      return lane_block<kRows, kColumns>(depth, left, right, out, accumulate);
    }
    lane_rest<kRows, kColumns - 1>(columns, depth, left, right, out, accumulate);
  }
}

/// kRows of the result, or as many as are left.
template <int kRows>
void lane_rows(int64_t rows, int64_t columns, int64_t depth, LaneInput left, LaneInput right,
               LaneOutput out, bool accumulate) {
  if constexpr (kRows > 0) {
    if (rows < kRows) {
      return lane_rows<kRows - 1>(rows, columns, depth, left, right, out, accumulate);
    }
    int64_t c = 0;
    for (; c + kLaneColumns <= columns; c += kLaneColumns) {
      lane_block<kRows, kLaneColumns>(depth, left, right.from(0, c), out.from(0, c), accumulate);
    }
    lane_rest<kRows>(columns - c, depth, left, right.from(0, c), out.from(0, c), accumulate);
  }
}

/// out (rows, columns) [+]= left (rows, depth) · right (depth, columns).
[[maybe_unused]] void lane_product(int64_t rows, int64_t columns, int64_t depth, LaneInput left,
                                   LaneInput right, LaneOutput out, bool accumulate = false) {
  for (int64_t r = 0; r < rows; r += kLaneRows) {
    lane_rows<kLaneRows>(rows - r, columns, depth, left.from(r, 0), right, out.from(r, 0),
                         accumulate);
  }
}

}  // namespace
}  // namespace ssa::cpu::SSA_KERNEL_ISA
