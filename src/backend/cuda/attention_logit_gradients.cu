// Gradients of the logits, which only learned biases need. They are summed over the sequences of a
// batch, which share a plan, so that memory does not grow with the batch. A block has a tile of a
// window's targets and sources and loops over the sequences. It recomputes the weights, since a
// block of attention_backward.cu sees only one sequence.

#include "backend/cuda/attention_half_gradient.cuh"
#include "backend/cuda/attention_kernels.h"
#include "backend/cuda/launch.h"

namespace ssa::cuda {

namespace {

template <class T, int kHead>
__global__ void __launch_bounds__(32 * kMaxWarps, 2)
    logit_gradients_kernel(const AttentionProblem p, const AttentionGradients g,
                           const LogitGradients logits, const int row_blocks,
                           const int column_blocks) {
  constexpr int kRowTiles = gradient_tile(kHead, false).row_tiles;
  constexpr int kColumns = gradient_tile(kHead, false).columns, kTiles = kColumns / 8;
  const int rows = static_cast<int>(blockDim.x / kWarp) * 16 * kRowTiles;
  const LogitTile tile(p, logits, row_blocks, column_blocks);
  const int first = tile.item.row_block * rows, first_source = tile.column_block * kColumns;
  const int32_t* targets = p.target_positions + int64_t{tile.item.window} * p.targets;
  const int32_t* sources = p.source_positions + int64_t{tile.item.window} * p.sources;

  T* own_first = dynamic_shared<T>();
  T* own_second = own_first + rows * kHead;
  T* other_first = own_second + rows * kHead;
  T* other_second = other_first + kColumns * kHead;
  auto* positions = reinterpret_cast<int32_t*>(other_second + kColumns * kHead);
  for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += static_cast<int>(blockDim.x)) {
    const int s = first_source + i;
    positions[i] = s < p.sources ? __ldg(sources + s) : INT_MAX;  // nothing sees it
  }
  int target[2 * kRowTiles];
#pragma unroll
  for (int row = 0; row < 2 * kRowTiles; ++row) {
    const int t = first + block_row<kRowTiles>(row);
    target[row] = t < p.targets ? __ldg(targets + t) : -1;
  }
  const auto row_of_target = [&](int row) {
    const int t = first + row;
    return t < p.targets ? query_row(p, __ldg(targets + t)) : -1;
  };
  const auto row_of_source = [&](int i) {
    const int s = first_source + i;
    return s < p.sources ? source_row(p, s, positions[i]) : -1;
  };

  float sums[kRowTiles][kTiles][4] = {};
  AttentionItem item = tile.item;
  for (item.batch = 0; item.batch < p.batch; ++item.batch) {
    __syncthreads();  // positions are loaded, earlier tiles have been read
    load_tiles<T, kHead>(own_first, own_second, rows, p, {p, p.query, item}, {p, g.grad_out, item},
                         row_of_target);
    load_tiles<T, kHead>(other_first, other_second, kColumns, p, {p, p.key, item},
                         {p, p.value, item}, row_of_source);
    TargetStatistics statistics[2 * kRowTiles];
#pragma unroll
    for (int row = 0; row < 2 * kRowTiles; ++row) {
      statistics[row] = {INFINITY, 0.0f};
      if (target[row] >= 0) {
        statistics[row] = g.statistics[statistics_row(p, item) + query_row(p, target[row])];
      }
    }
    const auto statistics_of = [&](int row, int) { return statistics[row]; };
    cp_async_wait_all();
    __syncthreads();
    const int warp_row = warp_first_row<kRowTiles>();
    float weights[kRowTiles][kTiles][4] = {}, gradients[kRowTiles][kTiles][4] = {};
    multiply_transposed<T, kHead>(weights, own_first, warp_row, other_first);
    finish_weights<false>(p, item, true, target, positions, statistics_of, weights);
    Kept<kRowTiles> kept;
    if (p.dropout.threshold != 0) {
      kept = draw_kept_again<false, kRowTiles, kTiles>(p, item, target, positions);
    }
    multiply_transposed<T, kHead>(gradients, own_second, warp_row, other_second);
    finish_gradients(p, kept, weights, statistics_of, gradients);
    for_each_sum<kRowTiles, kTiles>(
        [&](int m, int n, int part, int, int) { sums[m][n][part] += gradients[m][n][part]; });
  }

  for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
    const int t = first + block_row<kRowTiles>(row), s = first_source + column;
    if (t < p.targets && s < p.sources) tile.sums[int64_t{t} * p.sources + s] = sums[m][n][part];
  });
}

}  // namespace

template <class T>
void attention_logit_gradients_half(const AttentionProblem& p, const AttentionGradients& g,
                                    const LogitGradients& logits, const AttentionDevice& device) {
  visit_half_head(p.head_size, [&](auto head) {
    constexpr int kHead = decltype(head)::value;
    const AttentionLaunch shape =
        half_gradient_launch(kHead, false, half_problem(p, p.targets, device));
    const int columns = gradient_tile(kHead, false).columns;
    const int column_blocks = (p.sources + columns - 1) / columns;
    launch("attention_backward", logit_gradients_kernel<T, kHead>,
           logit_grid(p, logits, shape.row_blocks, column_blocks),
           dim3(static_cast<unsigned>(shape.threads)), shape.shared_bytes, p, g, logits,
           shape.row_blocks, column_blocks);
  });
}

template void attention_logit_gradients_half<BFloat16>(const AttentionProblem&,
                                                       const AttentionGradients&,
                                                       const LogitGradients&,
                                                       const AttentionDevice&);
template void attention_logit_gradients_half<Float16>(const AttentionProblem&,
                                                      const AttentionGradients&,
                                                      const LogitGradients&,
                                                      const AttentionDevice&);

}  // namespace ssa::cuda
