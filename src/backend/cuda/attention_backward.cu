// Gradients of attention over a source plan for 16-bit data. With weights w, δ = Σ_d grad_out·out
// and c = kept / (1 - dropout probability):
//
//   dlogit_ij = w_ij · (c_ij · grad_out_i·value_j - δ_i)
//   grad_query_i = scale · Σ_j dlogit_ij · key_j       one kernel: a block owns targets, loops
//                                                       over sources
//   grad_key_j = scale · Σ_i dlogit_ij · query_i       one kernel: a block owns sources, loops
//   grad_value_j = Σ_i w_ij · c_ij · grad_out_i         over targets
//
// One block computes each sum, so results do not depend on the order of blocks. This takes seven
// products, while a kernel with atomic additions to grad_query takes five: logits and
// grad_out·value are computed twice. Both kernels are one template: a block owns rows of (query,
// grad_out) or of (key, value), and loops over tiles of the other pair.

#include "backend/cuda/attention_half_gradient.cuh"
#include "backend/cuda/attention_kernels.h"
#include "backend/cuda/launch.h"

namespace ssa::cuda {

namespace {

/// What a kernel computes. With heads of 256 the registers hold one sum at a time.
enum class Part { query, key_value, key, value };

/// Two matrices with the same rows, and which rows of a window they are.
struct Side {
  HeadRows first, second;  // query and grad_out, or key and value
  const int32_t* positions;
  int size;
};

__device__ inline Side target_side(const AttentionProblem& p, const AttentionGradients& g,
                                   const AttentionItem& item) {
  return {p.query, g.grad_out, p.target_positions + int64_t{item.window} * p.targets, p.targets};
}
__device__ inline Side source_side(const AttentionProblem& p, const AttentionItem& item) {
  return {p.key, p.value, p.source_positions + int64_t{item.window} * p.sources, p.sources};
}

/// Writes sums, times `factor`, as f32 rows of the gradients by window.
template <int kHead, int kRowTiles>
__device__ void store_partial(const AttentionProblem& p, const AttentionItem& item, int first,
                              const float (&sums)[kRowTiles][kHead / 8][4], float factor,
                              float* partial, int partial_stride) {
  const int64_t window = item.batch * int64_t{p.windows} + item.window;
#pragma unroll
  for (int row = 0; row < 2 * kRowTiles; ++row) {
    const int s = first + block_row<kRowTiles>(row);
    if (s >= p.sources) continue;
    float* out =
        partial + ((window * p.sources + s) * p.heads + item.head) * int64_t{partial_stride};
#pragma unroll
    for (int n = 0; n < kHead / 8; ++n) {
      const int d = 8 * n + static_cast<int>(threadIdx.x % 4) * 2;
      const float* sum = sums[row / 2][n] + row % 2 * 2;
      if (d < partial_stride) store_vector(out + d, make_float2(sum[0] * factor, sum[1] * factor));
    }
  }
}

/// Loads the statistics of a tile's targets, for blocks of sources, beside the stream's tiles.
template <class Stream>
__device__ void load_statistics(const Stream& stream, int tile, int columns,
                                const TargetStatistics* statistics, TargetStatistics* to) {
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += static_cast<int>(blockDim.x)) {
    const int row = stream.row_of(tile, i);
    if (row >= 0) {
      cp_async_small<8>(to + i, statistics + row);
    } else {
      to[i] = {INFINITY, 0.0f};
    }
  }
}

/// What a kernel computes, and the tiles it is cut into.
template <int kHead, Part kPart>
struct GradientTiling {
  static constexpr bool kBySource = kPart != Part::query;
  static constexpr bool kOfLogits = kPart != Part::value;
  static constexpr bool kOfValues = kBySource && kPart != Part::key;
  static constexpr int kRowTiles = gradient_tile(kHead, kBySource).row_tiles;
  static constexpr int kColumns = gradient_tile(kHead, kBySource).columns;
  static constexpr int kTiles = kColumns / 8;
  /// Sums for query or key, or for value. The compiler removes those that a part does not use.
  using Sums = float[kRowTiles][kHead / 8][4];
};

/// Row r of a block is row (*this)(r) of the tensors; -1 beyond the last.
template <bool kBySource>
struct RowOfBlock {
  const AttentionProblem& p;
  const Side& side;
  int first;  // number of the block's first row in the window
  __device__ int operator()(int row) const {
    const int number = first + row;
    if (number >= side.size) return -1;
    const int position = __ldg(side.positions + number);
    return kBySource ? source_row(p, number, position) : query_row(p, position);
  }
};

/// Reads what this lane's rows of a block are: their positions, and the statistics of targets.
template <int kRowTiles, bool kBySource>
__device__ void read_rows(const RowOfBlock<kBySource>& block, const TargetStatistics* of_head,
                          int (&position)[2 * kRowTiles],
                          TargetStatistics (&statistics)[2 * kRowTiles]) {
#pragma unroll
  for (int row = 0; row < 2 * kRowTiles; ++row) {
    const int number = block.first + block_row<kRowTiles>(row);
    const bool valid = number < block.side.size;
    position[row] = valid ? __ldg(block.side.positions + number) : 0;
    statistics[row] = {INFINITY, 0.0f};
    if (!kBySource && valid) statistics[row] = of_head[query_row(block.p, position[row])];
  }
}

/// Adds a tile's share to the sums of this warp's rows. A struct of the rows' arguments would cost
/// registers.
template <class T, int kHead, Part kPart, class Stream, class StatisticsOf,
          class Tiling = GradientTiling<kHead, kPart>>
__device__ void add_tile(const AttentionProblem& p, const AttentionItem& item, const Stream& stream,
                         int tile, bool masked, const T* own_first, const T* own_second,
                         int warp_row, const int (&own_position)[2 * Tiling::kRowTiles],
                         const StatisticsOf& statistics_of, typename Tiling::Sums& first_sums,
                         typename Tiling::Sums& second_sums) {
  constexpr int kRowTiles = Tiling::kRowTiles, kTiles = Tiling::kTiles;
  float weights[kRowTiles][kTiles][4] = {};
  multiply_transposed<T, kHead>(weights, own_first, warp_row, stream.first(tile));
  finish_weights<Tiling::kBySource>(p, item, masked, own_position, stream.positions(tile),
                                    statistics_of, weights);
  Kept<kRowTiles> kept;
  const bool drops = p.dropout.threshold != 0;
  if (drops) {
    kept = draw_kept_again<Tiling::kBySource, kRowTiles, kTiles>(p, item, own_position,
                                                                 stream.positions(tile));
  }
  uint32_t packed[kRowTiles][kTiles / 2][4];
  if constexpr (Tiling::kOfLogits) {
    float gradients[kRowTiles][kTiles][4] = {};
    multiply_transposed<T, kHead>(gradients, own_second, warp_row, stream.second(tile));
    finish_gradients(p, kept, weights, statistics_of, gradients);
    pack_weights<T>(gradients, packed);
    multiply<T, kHead>(first_sums, packed, stream.first(tile));
  }
  if constexpr (Tiling::kOfValues) {
    if (drops) {
      for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int, int) {
        if (!kept(m, n, part)) weights[m][n][part] = 0;
      });
    }
    pack_weights<T>(weights, packed);
    multiply<T, kHead>(second_sums, packed, stream.second(tile));
  }
}

/// Writes sums, times `factor`, to the gradients by window if there are buffers for that, else to
/// rows of `to`. Results take the place of the block's own rows in `tile`: a warp reads only its
/// own of them.
template <class T, int kHead, int kRowTiles, class RowOf>
__device__ void store_sums(const AttentionProblem& p, const AttentionItem& item, int first,
                           int warp_row, const float (&sums)[kRowTiles][kHead / 8][4], float factor,
                           T* tile, const HeadRows& to, const RowOf& row_of, float* partial,
                           int partial_stride) {
  if (partial != nullptr) {
    store_partial<kHead, kRowTiles>(p, item, first, sums, factor, partial, partial_stride);
    return;
  }
  float factors[2 * kRowTiles];
#pragma unroll
  for (int row = 0; row < 2 * kRowTiles; ++row) factors[row] = factor;
  __syncwarp();
  round_to_tile<T, kHead>(sums, factors, tile);
  store_rows<T, kHead>(tile, warp_row, 16 * kRowTiles, p, {p, to, item}, row_of);
}

template <class T, int kHead, Part kPart>
__global__ void __launch_bounds__(32 * kMaxWarps, 2)
    attention_gradient_kernel(const AttentionProblem p, const AttentionGradients g,
                              const int row_blocks) {
  using Tiling = GradientTiling<kHead, kPart>;
  constexpr bool kBySource = Tiling::kBySource;
  constexpr int kRowTiles = Tiling::kRowTiles, kColumns = Tiling::kColumns;
  const int rows = static_cast<int>(blockDim.x / kWarp) * 16 * kRowTiles;
  const AttentionItem item = attention_item(p, row_blocks);
  // Later targets see more sources, earlier sources are seen by more targets: those go first.
  const int first = (kBySource ? item.row_block : row_blocks - 1 - item.row_block) * rows;
  const Side own_side = kBySource ? source_side(p, item) : target_side(p, g, item);
  const Side other = kBySource ? target_side(p, g, item) : source_side(p, item);
  const TargetStatistics* statistics = g.statistics + statistics_row(p, item);

  T* own_first = dynamic_shared<T>();
  T* own_second = own_first + rows * kHead;
  T* others = own_second + rows * kHead;
  auto* ring = reinterpret_cast<int32_t*>(others + 4 * kColumns * kHead);
  auto* tile_statistics =
      reinterpret_cast<TargetStatistics*>(ring + 3 * kColumns);  // for two tiles
  const TileStream<T, kHead, kColumns, kBySource> stream{p,
                                                         {p, other.first, item},
                                                         {p, other.second, item},
                                                         other.positions,
                                                         other.size,
                                                         others,
                                                         others + 2 * kColumns * kHead,
                                                         ring};
  const auto load_statistics_of = [&](int tile) {
    if constexpr (kBySource) {
      load_statistics(stream, tile, kColumns, statistics, tile_statistics + tile % 2 * kColumns);
    }
  };
  const RowOfBlock<kBySource> row_of_own{p, own_side, first};

  const PositionRange here =
      block_positions(p, item, own_side.positions, first, rows, own_side.size);
  const TileRange range = kBySource ? target_tiles(p, item, other.positions, here, kColumns)
                                    : source_tiles(p, item, other.positions, here, kColumns);
  stream.load_positions(range.begin);
  stream.load_positions(range.begin + 1);
  if constexpr (Tiling::kOfLogits) {
    load_tiles<T, kHead>(own_first, own_second, rows, p, {p, own_side.first, item},
                         {p, own_side.second, item}, row_of_own);
  } else {
    load_tile<T, kHead>(own_first, rows, p, {p, own_side.first, item}, row_of_own);
  }
  cp_async_wait_all();
  __syncthreads();
  if (range.begin < range.end) {
    stream.load(range.begin);
    load_statistics_of(range.begin);
  }

  int own_position[2 * kRowTiles];
  TargetStatistics row_statistics[2 * kRowTiles];
  read_rows<kRowTiles>(row_of_own, statistics, own_position, row_statistics);
  const int warp_row = warp_first_row<kRowTiles>();
  typename Tiling::Sums first_sums = {}, second_sums = {};
  for (int tile = range.begin; tile < range.end; ++tile) {
    stream.advance(tile, range.end);
    if (tile + 1 < range.end) load_statistics_of(tile + 1);
    const auto statistics_of = [&](int row, int column) {
      return kBySource ? tile_statistics[tile % 2 * kColumns + column] : row_statistics[row];
    };
    const bool masked = tile < range.whole_begin || tile >= range.whole_end;
    add_tile<T, kHead, kPart>(p, item, stream, tile, masked, own_first, own_second, warp_row,
                              own_position, statistics_of, first_sums, second_sums);
  }

  if constexpr (Tiling::kOfLogits) {
    store_sums<T, kHead>(p, item, first, warp_row, first_sums, p.scale, own_first,
                         kBySource ? g.grad_key : g.grad_query, row_of_own,
                         kBySource ? g.partial_key : nullptr, g.partial_stride);
  }
  if constexpr (Tiling::kOfValues) {
    store_sums<T, kHead>(p, item, first, warp_row, second_sums, p.dropout.kept_factor, own_second,
                         g.grad_value, row_of_own, g.partial_value, g.partial_stride);
  }
}

template <class T, int kHead, Part kPart>
void launch_gradient(const AttentionProblem& p, const AttentionGradients& g,
                     const AttentionDevice& device) {
  constexpr bool kBySource = kPart != Part::query;
  const HalfProblem problem = half_problem(p, kBySource ? p.sources : p.targets, device);
  const AttentionLaunch shape = half_gradient_launch(kHead, kBySource, problem);
  launch("attention_backward", attention_gradient_kernel<T, kHead, kPart>, attention_grid(p, shape),
         dim3(static_cast<unsigned>(shape.threads)), shape.shared_bytes, p, g, shape.row_blocks);
}

}  // namespace

template <class T>
void attention_backward_half(const AttentionProblem& p, const AttentionGradients& g,
                             const AttentionDevice& device) {
  visit_half_head(p.head_size, [&](auto head) {
    constexpr int kHead = decltype(head)::value;
    launch_gradient<T, kHead, Part::query>(p, g, device);
    if constexpr (kHead <= 128) {
      launch_gradient<T, kHead, Part::key_value>(p, g, device);
    } else {
      launch_gradient<T, kHead, Part::key>(p, g, device);
      launch_gradient<T, kHead, Part::value>(p, g, device);
    }
  });
}

template void attention_backward_half<BFloat16>(const AttentionProblem&, const AttentionGradients&,
                                                const AttentionDevice&);
template void attention_backward_half<Float16>(const AttentionProblem&, const AttentionGradients&,
                                               const AttentionDevice&);

}  // namespace ssa::cuda
