#pragma once

// What all attention kernels share: the part of the problem that a block works on, the tiles that
// it can see, and dropout of weights.

#include <climits>

#include "backend/cuda/attention_problem.h"
#include "backend/cuda/device.h"
#include "backend/cuda/error_record.h"

namespace ssa::cuda {

/// A block's work: block `row_block` of the rows of a window, for one head and sequence.
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

/// A block's work in kernels for the gradients of logits: a tile of a window's targets and sources,
/// for all sequences.
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

/// Row of query (and its like) for a target; 0 if the position is not valid.
__device__ inline int query_row(const AttentionProblem& p, int position) {
  const int row = position - p.query_start;
  return static_cast<unsigned>(row) < static_cast<unsigned>(p.length) ? row : 0;
}
/// Row of key and value (and their like) for source s of a window.
__device__ inline int source_row(const AttentionProblem& p, int s, int position) {
  const auto rows = static_cast<unsigned>(p.query_start + p.length);
  return p.compact ? s : static_cast<unsigned>(position) < rows ? position : 0;
}

/// A position's row in the grid, and its code across (PositionGrid). Positions that pad a tile have
/// meaningless ones.
struct GridCell {
  uint32_t row, code;
  __device__ GridCell(const AttentionProblem& p, int position) {
    const auto number = static_cast<uint32_t>(position);
    const auto row_positions = static_cast<uint32_t>(p.relative.row_positions);
    row = number / row_positions;
    code = number - row * row_positions;
    const auto channels = static_cast<uint32_t>(p.relative.channels);
    if (channels == 1) return;
    const uint32_t column = code / channels, channel = code - column * channels;
    const auto stride = static_cast<uint32_t>(p.relative.column_stride);
    code = stride == 1 ? column : column * stride + channel;
  }
};

/// The learned 2-D bias between target and source; -inf where the table has none.
__device__ inline float relative_bias(const AttentionProblem& p, int head, const GridCell& target,
                                      const GridCell& source) {
  const auto rows = static_cast<uint32_t>(p.relative.rows);
  const auto reach = static_cast<uint32_t>(p.relative.reach_across);
  const uint32_t down = target.row - source.row + (rows - 1);
  const uint32_t across = target.code - source.code + reach;
  const uint32_t row_entries = 2 * reach + 1;
  if (down >= 2 * rows - 1 || across >= row_entries) return -INFINITY;
  return __ldg(p.relative.table + int64_t{down * row_entries + across} * p.heads + head);
}

/// The region of a position; any region if the position is not valid.
__device__ inline int region_of(const AttentionProblem& p, const AttentionItem& item,
                                int position) {
  const auto positions = static_cast<unsigned>(p.query_start + p.length);
  if (static_cast<unsigned>(position) >= positions) return 0;
  return __ldg(p.regions + int64_t{item.batch} * p.region_stride + position);
}

/// Reports invalid positions of the plan, each once per launch.
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

/// Whether the weight with this element index is kept.
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
  __syncthreads();  // the results of an earlier call may still be read
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  return warp_max(lane < blockDim.x / kWarp ? partial[lane] : INT_MIN);
}
__device__ inline int block_min(int value) { return -block_max(-value); }

/// Only tiles begin … end-1 of the other side have visible pairs. Of these, tiles whole_begin …
/// whole_end-1 need no mask. Exact if positions ascend, as in all drawn plans, and safe in any
/// order.
struct TileRange {
  int begin, end, whole_begin, whole_end;
};

/// The range of positions, and of regions if there are any, of some targets or sources.
struct PositionRange {
  int lowest, highest;
  int lowest_region, highest_region;
};

/// The range of rows first … first+count-1, as far as they exist.
__device__ inline PositionRange block_positions(const AttentionProblem& p,
                                                const AttentionItem& item, const int32_t* positions,
                                                int first, int count, int size) {
  PositionRange range = {INT_MAX, 0, INT_MAX, -INT_MAX};
  const int end = first + count < size ? first + count : size;
  for (int i = first + static_cast<int>(threadIdx.x); i < end; i += static_cast<int>(blockDim.x)) {
    const int position = __ldg(positions + i);
    range.lowest = position < range.lowest ? position : range.lowest;
    range.highest = position > range.highest ? position : range.highest;
    if (p.regions == nullptr) continue;
    const int region = region_of(p, item, position);
    range.lowest_region = region < range.lowest_region ? region : range.lowest_region;
    range.highest_region = region > range.highest_region ? region : range.highest_region;
  }
  range.lowest = block_min(range.lowest);
  range.highest = block_max(range.highest);
  if (p.regions == nullptr) return range;
  range.lowest_region = block_min(range.lowest_region);
  range.highest_region = block_max(range.highest_region);
  return range;
}

/// Whether a position may have a visible pair with the others: within reach of the learned 2-D
/// bias, and in one of their regions.
__device__ inline bool within_reach(const AttentionProblem& p, const AttentionItem& item,
                                    const PositionRange& others, int position) {
  if (p.relative.table != nullptr) {
    const int row = position / p.relative.row_positions;
    if (row - others.highest / p.relative.row_positions >= p.relative.rows) return false;
    if (others.lowest / p.relative.row_positions - row >= p.relative.rows) return false;
  }
  if (p.regions == nullptr) return true;
  const int region = region_of(p, item, position);
  return region >= others.lowest_region && region <= others.highest_region;
}

/// Calls f(number, position) for each of `size` positions, divided among the block's threads.
template <class F>
__device__ void for_each_position(const int32_t* positions, int size, F&& f) {
  for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
    f(i, __ldg(positions + i));
  }
}

/// Tiles of sources for a block of targets.
__device__ inline TileRange source_tiles(const AttentionProblem& p, const AttentionItem& item,
                                         const int32_t* sources, const PositionRange& targets,
                                         int columns) {
  const int all = (p.sources + columns - 1) / columns;
  if (!p.causal && p.relative.table == nullptr && p.regions == nullptr) {
    return {0, all, 0, p.sources / columns};
  }
  int visible_begin = p.sources, visible_end = 0, first_hidden = p.sources;
  for_each_position(sources, p.sources, [&](int s, int position) {
    if (p.causal && position > targets.lowest && s < first_hidden) first_hidden = s;
    if (p.causal && position > targets.highest) return;
    if (!within_reach(p, item, targets, position)) return;
    if (s < visible_begin) visible_begin = s;
    visible_end = s + 1;
  });
  visible_begin = block_min(visible_begin);
  visible_end = block_max(visible_end);
  first_hidden = block_min(first_hidden);
  const int begin = visible_begin < visible_end ? visible_begin / columns : 0;
  return {begin, (visible_end + columns - 1) / columns, 0, first_hidden / columns};
}

/// Tiles of targets for a block of sources. Padding targets have weight 0 without a mask.
__device__ inline TileRange target_tiles(const AttentionProblem& p, const AttentionItem& item,
                                         const int32_t* targets, const PositionRange& sources,
                                         int columns) {
  const int all = (p.targets + columns - 1) / columns;
  const bool reaches_all = p.relative.table == nullptr && p.regions == nullptr;
  if (!p.causal && reaches_all) return {0, all, 0, all};
  int visible_begin = p.targets, visible_end = 0, hidden_end = 0;
  for_each_position(targets, p.targets, [&](int t, int position) {
    if (p.causal && position < sources.highest) hidden_end = t + 1;
    if (p.causal && position < sources.lowest) return;
    if (!within_reach(p, item, sources, position)) return;
    if (t < visible_begin) visible_begin = t;
    visible_end = t + 1;
  });
  visible_begin = block_min(visible_begin);
  visible_end = block_max(visible_end);
  hidden_end = block_max(hidden_end);
  return {visible_begin / columns, (visible_end + columns - 1) / columns,
          (hidden_end + columns - 1) / columns, all};
}

}  // namespace ssa::cuda
