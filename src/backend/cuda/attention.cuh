#pragma once

// What all attention kernels share: which part of the problem a block has, what of the plan it
// sees, dropout of weights.

#include <climits>

#include "backend/cuda/attention_problem.h"
#include "backend/cuda/device.h"
#include "backend/cuda/error_record.h"

namespace ssa::cuda {

/// Part of a block's work: block `row_block` of the rows of a window.
struct AttentionItem {
  int row_block, head, window, batch;
};

/// Blocks of one window and head are neighbours, since they read the same keys and values.
__device__ inline AttentionItem attention_item(const AttentionProblem& p, int row_blocks) {
  int number = static_cast<int>(blockIdx.x);
  AttentionItem item;
  item.row_block = number % row_blocks;
  number /= row_blocks;
  item.head = number % p.heads;
  number /= p.heads;
  item.window = number % p.windows;
  item.batch = number / p.windows;
  return item;
}

/// Part of a block's work in kernels for the gradients of logits: for all sequences, a tile of a
/// window's targets and sources.
struct LogitTile {
  AttentionItem item;  // of the first sequence
  int column_block;
  float* sums;  // (T, S)
  __device__ LogitTile(const AttentionProblem& p, const LogitGradients& logits, int row_blocks,
                       int column_blocks) {
    int number = static_cast<int>(blockIdx.x);
    column_block = number % column_blocks;
    number /= column_blocks;
    const int row_block = number % row_blocks, window = number / row_blocks;  // of all heads
    item = {row_block, logits.first_head + window / p.windows, window % p.windows, 0};
    sums = logits.sums + window * int64_t{p.targets} * p.sources;
  }
};

template <class T>
__device__ T* head_data(const AttentionProblem& p, const HeadRows& rows,
                        const AttentionItem& item) {
  return reinterpret_cast<T*>(rows.data) + item.batch * rows.batch_stride +
         item.head * int64_t{p.head_size};
}

/// Index of row 0 of a head in the (B, H, N) tensors.
__device__ inline int64_t statistics_row(const AttentionProblem& p, const AttentionItem& item) {
  return (item.batch * int64_t{p.heads} + item.head) * p.length;
}

/// Row of query (and its like) that belongs to a target; 0 for a position that is none.
__device__ inline int query_row(const AttentionProblem& p, int position) {
  const int row = position - p.query_start;
  return static_cast<unsigned>(row) < static_cast<unsigned>(p.length) ? row : 0;
}
/// Row of key and value (and their like) that belongs to source number s of a window.
__device__ inline int source_row(const AttentionProblem& p, int s, int position) {
  const auto rows = static_cast<unsigned>(p.query_start + p.length);
  return p.compact ? s : static_cast<unsigned>(position) < rows ? position : 0;
}

/// PositionGrid::code(). Positions that only fill up a tile have codes too, of no meaning.
__device__ inline uint32_t grid_code(const RelativeBias& bias, int position) {
  const auto cell = static_cast<uint32_t>(position), columns = static_cast<uint32_t>(bias.columns);
  return cell + cell / columns * (columns - 1);
}

/// The learned 2-D bias between target and source, given their codes.
__device__ inline float relative_bias(const AttentionProblem& p, int head, uint32_t target,
                                      uint32_t source) {
  const uint32_t row = target - source + static_cast<uint32_t>(p.relative.center);
  if (row >= static_cast<uint32_t>(p.relative.rows)) return 0.0f;
  return __ldg(p.relative.table + int64_t{row} * p.heads + head);
}

/// Reports positions of the plan that are none: each of them once in a launch.
__device__ inline void check_positions(const AttentionProblem& p, const AttentionItem& item,
                                       int first_target, int target_count) {
  if (item.head != 0 || item.batch != 0) return;
  const int end = p.query_start + p.length, step = static_cast<int>(blockDim.x);
  const int target_end =
      first_target + target_count < p.targets ? first_target + target_count : p.targets;
  for (int t = first_target + static_cast<int>(threadIdx.x); t < target_end; t += step) {
    const int64_t at = int64_t{item.window} * p.targets + t;
    checked_id(p.target_positions[at], p.query_start, end, Lookup::attention_targets, at, p.errors);
  }
  if (item.row_block != 0) return;
  for (int s = static_cast<int>(threadIdx.x); s < p.sources; s += step) {
    const int64_t at = int64_t{item.window} * p.sources + s;
    checked_id(p.source_positions[at], 0, end, Lookup::attention_sources, at, p.errors);
  }
}

/// Word `element` of the key, compared.
__device__ inline bool keeps_weight(const WeightDropout& dropout, uint64_t element) {
  const auto words = dropout.key.now().words(static_cast<uint32_t>(element >> 2));
  const uint32_t low = element & 1 ? words[1] : words[0];
  const uint32_t high = element & 1 ? words[3] : words[2];
  return (element & 2 ? high : low) >= dropout.threshold;
}

/// Element (b, h, i, 0) of the weights.
__device__ inline uint64_t weight_element(const AttentionProblem& p, const AttentionItem& item,
                                          int target) {
  return static_cast<uint64_t>((statistics_row(p, item) + target) * p.length);
}

/// Maximum over the block's threads, for all of them.
__device__ inline int block_max(int value) {
  __shared__ int partial[kWarp];
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  value = warp_max(value);
  __syncthreads();  // an earlier call may still be read
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  return warp_max(lane < blockDim.x / kWarp ? partial[lane] : INT_MIN);
}
__device__ inline int block_min(int value) { return -block_max(-value); }

/// Tiles begin … end-1 of the other side have something visible, the others need no look; only
/// those outside whole_begin … whole_end-1 need masks. Exact where positions ascend, as they do in
/// plans that were drawn, and safe in any order.
struct TileRange {
  int begin, end, whole_begin, whole_end;
};

struct PositionRange {
  int lowest, highest;
};

/// Of rows first … first+count-1, those of them that exist.
__device__ inline PositionRange block_positions(const int32_t* positions, int first, int count,
                                                int size) {
  PositionRange range = {INT_MAX, 0};
  const int end = first + count < size ? first + count : size;
  for (int i = first + static_cast<int>(threadIdx.x); i < end; i += static_cast<int>(blockDim.x)) {
    const int position = __ldg(positions + i);
    range.lowest = position < range.lowest ? position : range.lowest;
    range.highest = position > range.highest ? position : range.highest;
  }
  return {block_min(range.lowest), block_max(range.highest)};
}

/// Tiles of sources for a block of targets.
__device__ inline TileRange source_tiles(const AttentionProblem& p, const int32_t* sources,
                                         const PositionRange& targets, int columns) {
  const int all = (p.sources + columns - 1) / columns;
  if (!p.causal) return {0, all, 0, p.sources / columns};
  int visible_end = 0, first_hidden = p.sources;
  for (int s = static_cast<int>(threadIdx.x); s < p.sources; s += static_cast<int>(blockDim.x)) {
    const int position = __ldg(sources + s);
    if (position <= targets.highest) visible_end = s + 1;
    if (position > targets.lowest && s < first_hidden) first_hidden = s;
  }
  visible_end = block_max(visible_end);
  first_hidden = block_min(first_hidden);
  return {0, (visible_end + columns - 1) / columns, 0, first_hidden / columns};
}

/// Tiles of targets for a block of sources. Targets that are filled up have weights 0 without
/// masks.
__device__ inline TileRange target_tiles(const AttentionProblem& p, const int32_t* targets,
                                         const PositionRange& sources, int columns) {
  const int all = (p.targets + columns - 1) / columns;
  if (!p.causal) return {0, all, 0, all};
  int first_visible = p.targets, hidden_end = 0;
  for (int t = static_cast<int>(threadIdx.x); t < p.targets; t += static_cast<int>(blockDim.x)) {
    const int position = __ldg(targets + t);
    if (position >= sources.lowest && t < first_visible) first_visible = t;
    if (position < sources.highest) hidden_end = t + 1;
  }
  first_visible = block_min(first_visible);
  hidden_end = block_max(hidden_end);
  return {first_visible / columns, first_visible < p.targets ? all : 0,
          (hidden_end + columns - 1) / columns, all};
}

}  // namespace ssa::cuda
