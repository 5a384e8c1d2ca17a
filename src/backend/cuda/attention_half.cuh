#pragma once

// Tiles of 16-bit numbers in shared memory, and their products with a warp's rows.

#include "backend/cuda/attention.cuh"
#include "backend/cuda/attention_tiling.h"
#include "backend/cuda/ptx.h"

namespace ssa::cuda {

inline constexpr int kChunk = 8;  // numbers per 16-byte access
inline constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// Rows of kHead numbers. Chunks are swizzled within a row, so that ldmatrix finds the same chunk
/// of 8 neighbouring rows in different banks.
template <class T, int kHead>
struct HalfRows {
  static_assert(sizeof(T) == 2 && kHead % 32 == 0);
  static constexpr int kChunks = kHead / kChunk;

  __device__ static int offset(int row, int chunk) {
    const int swap = kChunks % 8 == 0 ? row & 7 : row >> 1 & 3;
    return row * kHead + (chunk ^ swap) * kChunk;
  }
  __device__ static int element(int row, int column) {
    return offset(row, column / kChunk) + column % kChunk;
  }
};

/// Reads eight numbers of a row of `head_size`, at any alignment; 0 beyond its end.
template <class T>
__device__ uint4 load_elements(const T* row, int first, int head_size, bool valid) {
  uint32_t pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int d = first + 2 * i;
    const uint32_t low = valid && d < head_size ? row[d].bits : 0u;
    const uint32_t high = valid && d + 1 < head_size ? row[d + 1].bits : 0u;
    pairs[i] = low | high << 16;
  }
  return make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

/// One head of a (B, N, H, D) tensor.
template <class T>
struct Head {
  T* data;
  int64_t row_stride;
  __device__ Head(const AttentionProblem& p, const HeadRows& rows, const AttentionItem& item)
      : data(head_data<T>(p, rows, item)), row_stride(rows.row_stride) {}
};

/// Loads one chunk of row `row` of a head into a tile; zeros if the row is negative.
template <class T>
__device__ void gather_chunk(T* to, const AttentionProblem& p, const Head<const T>& head, int row,
                             int chunk) {
  const T* from = head.data + (row < 0 ? 0 : row) * head.row_stride;
  const bool valid = row >= 0 && chunk * kChunk < p.head_size;
  if (p.vectors) {
    cp_async_16(to, valid ? from + chunk * kChunk : head.data, valid);
  } else {
    store_vector(to, load_elements(from, chunk * kChunk, p.head_size, valid));
  }
}

/// Loads `rows` rows of two heads into two tiles. Row r of a tile is row row_of(r) of the tensor.
/// Complete after cp_async_wait_all() and a barrier.
template <class T, int kHead, class RowOf>
__device__ void load_tiles(T* first_tile, T* second_tile, int rows, const AttentionProblem& p,
                           const Head<const T>& first, const Head<const T>& second,
                           RowOf&& row_of) {
  using Rows = HalfRows<T, kHead>;
#pragma unroll 2  // more would take registers from the products
  for (int i = static_cast<int>(threadIdx.x); i < rows * Rows::kChunks;
       i += static_cast<int>(blockDim.x)) {
    const int chunk = i % Rows::kChunks, from = row_of(i / Rows::kChunks);
    const int offset = Rows::offset(i / Rows::kChunks, chunk);
    gather_chunk(first_tile + offset, p, first, from, chunk);
    gather_chunk(second_tile + offset, p, second, from, chunk);
  }
}

/// The same for one head.
template <class T, int kHead, class RowOf>
__device__ void load_tile(T* tile, int rows, const AttentionProblem& p, const Head<const T>& head,
                          RowOf&& row_of) {
  using Rows = HalfRows<T, kHead>;
  for (int i = static_cast<int>(threadIdx.x); i < rows * Rows::kChunks;
       i += static_cast<int>(blockDim.x)) {
    const int chunk = i % Rows::kChunks;
    gather_chunk(tile + Rows::offset(i / Rows::kChunks, chunk), p, head, row_of(i / Rows::kChunks),
                 chunk);
  }
}

/// The tiles that a block loops over: two matrices with the same rows, loaded one tile ahead, and
/// the positions of the rows, loaded two tiles ahead. kTargets: rows are targets (query and its
/// like), else sources (key and value).
template <class T, int kHead, int kColumns, bool kTargets>
struct TileStream {
  const AttentionProblem& p;
  Head<const T> first_head, second_head;
  const int32_t* all_positions;
  int size;
  T *first_tiles, *second_tiles;  // [2][kColumns][kHead] each
  int32_t* ring;                  // [3][kColumns]

  __device__ int32_t* positions(int tile) const { return ring + tile % 3 * kColumns; }
  __device__ T* first(int tile) const { return first_tiles + tile % 2 * kColumns * kHead; }
  __device__ T* second(int tile) const { return second_tiles + tile % 2 * kColumns * kHead; }

  /// Row of the tensors; -1 beyond the last.
  __device__ int row_of(int tile, int i) const {
    const int number = tile * kColumns + i;
    if (number >= size) return -1;
    const int position = positions(tile)[i];
    return kTargets ? query_row(p, position) : source_row(p, number, position);
  }
  __device__ void load_positions(int tile) const {
    for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += static_cast<int>(blockDim.x)) {
      const int number = tile * kColumns + i;
      if (number < size) {
        cp_async_small<4>(positions(tile) + i, all_positions + number);
      } else {
        positions(tile)[i] =
            kTargets ? -1 : INT_MAX;  // a target that sees nothing; a source that nothing sees
      }
    }
  }
  __device__ void load(int tile) const {
    load_tiles<T, kHead>(first(tile), second(tile), kColumns, p, first_head, second_head,
                         [&](int i) { return row_of(tile, i); });
  }
  /// Waits for this tile, and begins to load the next over the one before.
  __device__ void advance(int tile, int end) const {
    cp_async_wait_all();
    __syncthreads();
    if (tile + 1 < end) load(tile + 1);
    if (tile + 2 < end) load_positions(tile + 2);
  }
};

/// Writes the rows of a tile that this warp has filled to rows row_of(r) of the tensor; skips
/// negative ones.
template <class T, int kHead, class RowOf>
__device__ void store_rows(const T* tile, int first, int rows, const AttentionProblem& p,
                           const Head<T>& head, RowOf&& row_of) {
  using Rows = HalfRows<T, kHead>;
  __syncwarp();
  for (int i = static_cast<int>(threadIdx.x % kWarp); i < rows * Rows::kChunks; i += kWarp) {
    const int row = first + i / Rows::kChunks, chunk = i % Rows::kChunks;
    const int to = row_of(row);
    if (to < 0 || chunk * kChunk >= p.head_size) continue;
    T* out = head.data + to * head.row_stride + chunk * kChunk;
    const T* from = tile + Rows::offset(row, chunk);
    if (p.vectors) {
      store_vector(out, load_vector<uint4>(from));
    } else {
      for (int d = 0; d < kChunk && chunk * kChunk + d < p.head_size; ++d) out[d] = from[d];
    }
  }
}

// Sums and weights of a warp's 16·kRowTiles rows have the layout of mma_16x8x16's sums: [row
// tile][columns / 8][4].

/// sums += rows first_row … of `a` · (rows of `b`)ᵀ, over kHead.
template <class T, int kHead, int kRowTiles, int kTiles>
__device__ void multiply_transposed(float (&sums)[kRowTiles][kTiles][4], const T* a, int first_row,
                                    const T* b) {
  using Rows = HalfRows<T, kHead>;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int b_row = lane % 8 + lane / 16 * 8, b_chunk = lane / 8 % 2;
#pragma unroll
  for (int k = 0; k < kHead / 16; ++k) {
    uint32_t left[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      ldmatrix_x4(left[m], a + Rows::offset(first_row + 16 * m + lane % 16, 2 * k + lane / 16));
    }
#pragma unroll
    for (int n = 0; n < kTiles / 2; ++n) {
      uint32_t right[4];
      ldmatrix_x4(right, b + Rows::offset(16 * n + b_row, 2 * k + b_chunk));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        mma_16x8x16<T>(sums[m][2 * n], left[m], right[0], right[1]);
        mma_16x8x16<T>(sums[m][2 * n + 1], left[m], right[2], right[3]);
      }
    }
  }
}

/// Weights rounded to T, as the left operand of a product.
template <class T, int kRowTiles, int kTiles>
__device__ void pack_weights(const float (&weights)[kRowTiles][kTiles][4],
                             uint32_t (&packed)[kRowTiles][kTiles / 2][4]) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int k = 0; k < kTiles / 2; ++k) {
      packed[m][k][0] = pack<T>(weights[m][2 * k][0], weights[m][2 * k][1]);
      packed[m][k][1] = pack<T>(weights[m][2 * k][2], weights[m][2 * k][3]);
      packed[m][k][2] = pack<T>(weights[m][2 * k + 1][0], weights[m][2 * k + 1][1]);
      packed[m][k][3] = pack<T>(weights[m][2 * k + 1][2], weights[m][2 * k + 1][3]);
    }
  }
}

/// sums (16·kRowTiles, kHead) += weights (16·kRowTiles, 16·kSteps) · rows of `b`.
template <class T, int kHead, int kRowTiles, int kSteps>
__device__ void multiply(float (&sums)[kRowTiles][kHead / 8][4],
                         const uint32_t (&weights)[kRowTiles][kSteps][4], const T* b) {
  using Rows = HalfRows<T, kHead>;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
#pragma unroll
    for (int n = 0; n < kHead / 16; ++n) {
      uint32_t right[4];
      ldmatrix_x4_transposed(right, b + Rows::offset(16 * k + lane % 16, 2 * n + lane / 16));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        mma_16x8x16<T>(sums[m][2 * n], weights[m][k], right[0], right[1]);
        mma_16x8x16<T>(sums[m][2 * n + 1], weights[m][k], right[2], right[3]);
      }
    }
  }
}

/// Calls f(m, n, part, row, column) for this lane's sums of kTiles·8 columns. `row` is one of its
/// 2·kRowTiles rows, `column` counts within the tile.
template <int kRowTiles, int kTiles, class F>
__device__ void for_each_sum(F&& f) {
  const int first_column = static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        f(m, n, part, 2 * m + part / 2, 8 * n + first_column + part % 2);
      }
    }
  }
}

/// Adds the learned 2-D bias to logits of base 2. Rows are sources if kBySource, else targets.
/// `own` has the positions of this lane's rows, `others` those of the columns.
template <bool kBySource, int kRowTiles, int kTiles>
__device__ void add_relative_bias(const AttentionProblem& p, int head,
                                  const int (&own)[2 * kRowTiles], const int32_t* others,
                                  float (&logits)[kRowTiles][kTiles][4]) {
  for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
    const GridCell mine(p, own[row]), other(p, others[column]);
    const float bias = relative_bias(p, head, kBySource ? other : mine, kBySource ? mine : other);
    logits[m][n][part] = __fmaf_rn(bias, kLog2E, logits[m][n][part]);
  });
}

/// Sets logits to -inf where source and target are in different regions.
template <int kRowTiles, int kTiles>
__device__ void mask_regions(const AttentionProblem& p, const AttentionItem& item,
                             const int (&own)[2 * kRowTiles], const int32_t* others,
                             float (&logits)[kRowTiles][kTiles][4]) {
  if (p.regions == nullptr) return;
  int region[2 * kRowTiles];
#pragma unroll
  for (int row = 0; row < 2 * kRowTiles; ++row) region[row] = region_of(p, item, own[row]);
  for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
    if (region_of(p, item, others[column]) != region[row]) logits[m][n][part] = -INFINITY;
  });
}

/// The block's row for row `row` of this lane's 2·kRowTiles.
template <int kRowTiles>
__device__ int block_row(int row) {
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  return 16 * kRowTiles * warp + 8 * row + lane / 4;
}

/// The first of this warp's rows of the block.
template <int kRowTiles>
__device__ int warp_first_row() {
  return 16 * kRowTiles * static_cast<int>(threadIdx.x / kWarp);
}

/// Writes a warp's sums, times `factor`, into its rows of a tile.
template <class T, int kHead, int kRowTiles>
__device__ void round_to_tile(const float (&sums)[kRowTiles][kHead / 8][4],
                              const float (&factors)[2 * kRowTiles], T* tile) {
  const int column = static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float factor = factors[2 * m + half];
      const int row = block_row<kRowTiles>(2 * m + half);
#pragma unroll
      for (int n = 0; n < kHead / 8; ++n) {
        store_vector(tile + HalfRows<T, kHead>::element(row, 8 * n + column),
                     pack<T>(sums[m][n][2 * half] * factor, sums[m][n][2 * half + 1] * factor));
      }
    }
  }
}

/// Which of this lane's weights are kept: bit 4·n + part of word m.
template <int kRowTiles>
struct Kept {
  uint32_t words[kRowTiles] = {};
  __device__ bool operator()(int m, int n, int part) const {
    return (words[m] >> (4 * n + part) & 1) != 0;
  }
};

/// element_of(first, second, column) is the index of a weight in this lane's row first + second.
template <int kRowTiles, int kTiles, class ElementOf>
__device__ Kept<kRowTiles> draw_kept(const WeightDropout& dropout, ElementOf&& element_of) {
  static_assert(4 * kTiles <= 32);
  const int first_column = static_cast<int>(threadIdx.x % 4) * 2;
  Kept<kRowTiles> kept;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
    uint32_t bits = 0;
#pragma unroll 1  // one copy of the generator, not one for each weight
    for (int i = 0; i < 4 * kTiles; ++i) {
      const uint64_t element = element_of(2 * m, i % 4 / 2, 8 * (i / 4) + first_column + i % 2);
      bits |= static_cast<uint32_t>(keeps_weight(dropout, element)) << i;
    }
    kept.words[m] = bits;
  }
  return kept;
}

}  // namespace ssa::cuda
