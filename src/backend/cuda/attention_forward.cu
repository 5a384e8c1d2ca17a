// Attention over a source plan for 16-bit data. A block has some targets of a window and loops over
// tiles of the window's sources, whose keys and values it gathers. It keeps the running softmax of
// Milakov and Gimelshein (2018) in the order of FlashAttention-2 (Dao, 2023).

#include "backend/cuda/attention_half.cuh"
#include "backend/cuda/attention_kernels.h"
#include "backend/cuda/launch.h"

namespace ssa::cuda {

namespace {

/// Logits have base 2 here. Without biases they are the plain products, and the exponent is
/// multiplied by `factor`.
struct LogitScale {
  float before, factor, slope;
  bool plain;
  __device__ LogitScale(const AttentionProblem& p, int head, bool pair_terms) {
    const float scale = p.scale * kLog2E;
    slope = p.slopes == nullptr ? 0.0f : __ldg(p.slopes + head) * kLog2E;
    plain = p.slopes == nullptr && !pair_terms && scale > 0;
    before = plain ? 1.0f : scale;
    factor = plain ? scale : 1.0f;
  }
};

template <int kRows>
struct RunningSoftmax {
  float highest[kRows], total[kRows];  // total: of this lane's columns
  __device__ RunningSoftmax() {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      highest[row] = -INFINITY;
      total[row] = 0;
    }
  }
};

__device__ inline float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}
__device__ inline float quad_sum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}

/// Turns logits into weights relative to the highest logit so far, and rescales the output sums to
/// match.
template <int kRowTiles, int kTiles, int kOutTiles>
__device__ void update_softmax(RunningSoftmax<2 * kRowTiles>& softmax, float factor,
                               float (&logits)[kRowTiles][kTiles][4],
                               float (&out)[kRowTiles][kOutTiles][4]) {
#pragma unroll
  for (int row = 0; row < 2 * kRowTiles; ++row) {
    const int m = row / 2, first = row % 2 * 2;
    float highest = softmax.highest[row];
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      highest = fmaxf(highest, fmaxf(logits[m][n][first], logits[m][n][first + 1]));
    }
    highest = quad_max(highest);
    const float shift = highest == -INFINITY ? 0.0f : highest * factor;
    const float rescale = exp2_approx(softmax.highest[row] * factor - shift);
    softmax.highest[row] = highest;
    float total = softmax.total[row] * rescale;
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int part = first; part < first + 2; ++part) {
        const float weight = exp2_approx(__fmaf_rn(logits[m][n][part], factor, -shift));
        logits[m][n][part] = weight;
        total += weight;
      }
    }
    softmax.total[row] = total;
#pragma unroll
    for (int n = 0; n < kOutTiles; ++n) {
      out[m][n][first] *= rescale;
      out[m][n][first + 1] *= rescale;
    }
  }
}

/// Turns the products of a tile of sources into logits: scales them, adds biases, masks.
template <bool kPairTerms, int kRowTiles, int kTiles>
__device__ void finish_logits(const AttentionProblem& p, const AttentionItem& item,
                              const LogitScale& scale, bool masked,
                              const int (&target)[2 * kRowTiles], const int32_t* positions,
                              float (&logits)[kRowTiles][kTiles][4]) {
  if (!scale.plain) {
    for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
      const auto ahead = static_cast<float>(positions[column] - target[row]);
      logits[m][n][part] = __fmaf_rn(scale.slope, ahead, logits[m][n][part] * scale.before);
    });
  }
  if constexpr (kPairTerms) {
    if (p.relative.table != nullptr) {
      add_relative_bias<false>(p, item.head, target, positions, logits);
    }
    mask_regions(p, item, target, positions, logits);
  }
  if (masked) {
    for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
      const int visible_to = p.causal ? target[row] : INT_MAX - 1;
      if (positions[column] > visible_to) logits[m][n][part] = -INFINITY;
    });
  }
}

template <int kRowTiles, int kTiles>
__device__ void drop_weights(const AttentionProblem& p, const AttentionItem& item,
                             const int (&target)[2 * kRowTiles], const int32_t* positions,
                             float (&weights)[kRowTiles][kTiles][4]) {
  const auto kept = draw_kept<kRowTiles, kTiles>(p.dropout, [&](int first, int second, int column) {
    const int i = second == 0 ? target[first] : target[first + 1];
    return weight_element(p, item, i) + static_cast<uint64_t>(positions[column]);
  });
  for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int, int) {
    if (!kept(m, n, part)) weights[m][n][part] = 0;
  });
}

/// Computes the factors that normalise this lane's rows of out, and writes log-sum-exps.
template <int kRows>
__device__ void finish_rows(const AttentionProblem& p, const AttentionItem& item,
                            const LogitScale& scale, const RunningSoftmax<kRows>& softmax,
                            const bool (&valid)[kRows], const int (&target)[kRows],
                            float (&factors)[kRows]) {
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const float total = quad_sum(softmax.total[row]);
    factors[row] = total == 0 ? 0.0f : p.dropout.kept_factor / total;
    if (threadIdx.x % 4 != 0 || !valid[row]) continue;
    const float highest = softmax.highest[row] * scale.factor;
    p.lse[statistics_row(p, item) + query_row(p, target[row])] =
        total == 0 ? -INFINITY : __fmaf_rn(highest, kLn2, logf(total));
  }
}

/// kPairTerms: with a learned 2-D bias or regions, whose look-ups need registers.
template <class T, int kHead, bool kPairTerms>
__global__ void __launch_bounds__(32 * kMaxWarps, 2)
    attention_forward_kernel(const AttentionProblem p, const int row_blocks) {
  constexpr HalfTile kTile = forward_tile(kHead, kPairTerms);
  constexpr int kRowTiles = kTile.row_tiles, kColumns = kTile.columns, kTiles = kColumns / 8;
  const int rows = static_cast<int>(blockDim.x / kWarp) * 16 * kRowTiles;
  const AttentionItem item = attention_item(p, row_blocks);
  // Later targets see more sources: those blocks go first.
  const int first = (row_blocks - 1 - item.row_block) * rows;
  const int32_t* targets = p.target_positions + int64_t{item.window} * p.targets;
  const int32_t* sources = p.source_positions + int64_t{item.window} * p.sources;
  check_positions(p, item, first, rows);

  T* query = dynamic_shared<T>();
  T* keys = query + rows * kHead;
  T* values = keys + 2 * kColumns * kHead;
  const TileStream<T, kHead, kColumns, false> stream{
      p,
      {p, p.key, item},
      {p, p.value, item},
      sources,
      p.sources,
      keys,
      values,
      reinterpret_cast<int32_t*>(values + 2 * kColumns * kHead)};
  const auto row_of_target = [&](int row) {
    const int t = first + row;
    return t < p.targets ? query_row(p, __ldg(targets + t)) : -1;
  };
  const TileRange range = source_tiles(
      p, item, sources, block_positions(p, item, targets, first, rows, p.targets), kColumns);
  // Without pair terms no tile in front is skipped. A constant keeps a register free, and this
  // kernel has none to spare.
  const int begin = kPairTerms ? range.begin : 0;
  stream.load_positions(begin);
  stream.load_positions(begin + 1);
  load_tile<T, kHead>(query, rows, p, {p, p.query, item}, row_of_target);
  cp_async_wait_all();
  __syncthreads();
  if (begin < range.end) stream.load(begin);

  int target[2 * kRowTiles];  // positions of this lane's rows
  bool valid[2 * kRowTiles];
#pragma unroll
  for (int row = 0; row < 2 * kRowTiles; ++row) {
    const int t = first + block_row<kRowTiles>(row);
    valid[row] = t < p.targets;
    target[row] = valid[row] ? __ldg(targets + t) : 0;
  }
  const int warp_row = warp_first_row<kRowTiles>();
  const LogitScale scale(p, item.head, kPairTerms);
  RunningSoftmax<2 * kRowTiles> softmax;
  float out[kRowTiles][kHead / 8][4] = {};
  for (int tile = begin; tile < range.end; ++tile) {
    stream.advance(tile, range.end);
    float logits[kRowTiles][kTiles][4] = {};
    multiply_transposed<T, kHead>(logits, query, warp_row, stream.first(tile));
    finish_logits<kPairTerms>(p, item, scale, tile >= range.whole_end, target,
                              stream.positions(tile), logits);
    update_softmax(softmax, scale.factor, logits, out);
    if (p.dropout.threshold != 0) drop_weights(p, item, target, stream.positions(tile), logits);
    uint32_t weights[kRowTiles][kTiles / 2][4];
    pack_weights<T>(logits, weights);
    multiply<T, kHead>(out, weights, stream.second(tile));
  }

  float factors[2 * kRowTiles];
  finish_rows(p, item, scale, softmax, valid, target, factors);
  // The output takes the place of the queries in shared memory: a warp reads only its own rows of
  // them.
  __syncwarp();
  round_to_tile<T, kHead>(out, factors, query);
  store_rows<T, kHead>(query, warp_row, 16 * kRowTiles, p, {p, p.out, item}, row_of_target);
}

template <class T, int kHead, bool kPairTerms>
void launch_forward(const AttentionProblem& p, const AttentionDevice& device) {
  const AttentionLaunch shape =
      half_forward_launch(kHead, kPairTerms, half_problem(p, p.targets, device));
  launch("attention", attention_forward_kernel<T, kHead, kPairTerms>, attention_grid(p, shape),
         dim3(static_cast<unsigned>(shape.threads)), shape.shared_bytes, p, shape.row_blocks);
}

}  // namespace

template <class T>
void attention_forward_half(const AttentionProblem& p, const AttentionDevice& device) {
  visit_half_head(p.head_size, [&](auto head) {
    constexpr int kHead = decltype(head)::value;
    if (p.relative.table == nullptr && p.regions == nullptr) {
      launch_forward<T, kHead, false>(p, device);
    } else {
      launch_forward<T, kHead, true>(p, device);
    }
  });
}

template void attention_forward_half<BFloat16>(const AttentionProblem&, const AttentionDevice&);
template void attention_forward_half<Float16>(const AttentionProblem&, const AttentionDevice&);

}  // namespace ssa::cuda
