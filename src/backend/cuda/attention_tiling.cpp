#include "backend/cuda/attention_tiling.h"

#include <initializer_list>

#include "ssa/core/error.h"

#include "backend/cuda/attention_problem.h"

namespace ssa::cuda {

namespace {

constexpr int kHalfBytes = 2, kFloatBytes = 4;

int blocks_of(int rows, int rows_per_block) { return (rows + rows_per_block - 1) / rows_per_block; }

int smallest_of(std::initializer_list<int> sizes, int head_size) {
  for (const int size : sizes) {
    if (head_size <= size) return size;
  }
  throw ShapeError("attention: heads of {}, but the cuda backend stops at {}", head_size,
                   kMaxHeadSize);
}

/// Shared memory of a block: `own_tiles` tiles of its rows, and two stages of two column tiles, so
/// that one stage is read while the other is loaded. Also the positions of three column tiles, and
/// the statistics of two.
size_t half_bytes(HalfTile tile, int padded_head, int own_tiles, int warps) {
  const int matrix_rows = own_tiles * 16 * tile.row_tiles * warps + 4 * tile.columns;
  return static_cast<size_t>(matrix_rows * padded_head * kHalfBytes) +
         static_cast<size_t>(tile.columns) * (3 * sizeof(int32_t) + 2 * sizeof(TargetStatistics));
}

AttentionLaunch half_launch(HalfTile tile, int padded_head, int own_tiles,
                            const HalfProblem& problem) {
  // The cost per row: a block of any size reads all of the other side.
  const auto cost = [&](int warps) {
    const int rows = 16 * tile.row_tiles * warps;
    const double all_rows = static_cast<double>(blocks_of(problem.rows, rows)) * rows;
    return all_rows * (1.0 + 0.5 / warps);
  };
  const auto idle = [&](int warps) {
    return problem.windows * blocks_of(problem.rows, 16 * tile.row_tiles * warps) <
           problem.multiprocessors;
  };
  int warps = kMaxWarps;
  while (warps > 1 && half_bytes(tile, padded_head, own_tiles, warps) > problem.shared_limit) {
    warps /= 2;
  }
  while (warps > 1 && (idle(warps) || cost(warps / 2) < cost(warps))) warps /= 2;
  return {blocks_of(problem.rows, 16 * tile.row_tiles * warps), 32 * warps,
          half_bytes(tile, padded_head, own_tiles, warps)};
}

}  // namespace

int padded_head_size(int head_size) { return smallest_of({32, 64, 96, 128, 256}, head_size); }
int padded_head_size_f32(int head_size) { return smallest_of({32, 64, 128, 256}, head_size); }

AttentionLaunch half_forward_launch(int padded_head, bool relative, const HalfProblem& problem) {
  return half_launch(forward_tile(padded_head, relative), padded_head, 1, problem);
}

AttentionLaunch half_gradient_launch(int padded_head, bool by_source, const HalfProblem& problem) {
  return half_launch(gradient_tile(padded_head, by_source), padded_head, 2, problem);
}

AttentionLaunch float_forward_launch(int padded_head, int rows) {
  const FloatTile tile = float_forward_tile(padded_head);
  const int own = 16 * tile.rows_per_thread, other = 16 * tile.columns_per_thread;
  const int floats = (own + other) * float_pitch(padded_head) + own * float_pitch(other);
  return {blocks_of(rows, own), kFloatThreads, static_cast<size_t>(floats * kFloatBytes)};
}

AttentionLaunch float_gradient_launch(int padded_head, int rows) {
  const FloatTile tile = float_gradient_tile(padded_head);
  const int own = 16 * tile.rows_per_thread, other = 16 * tile.columns_per_thread;
  const int floats = 2 * (own + other) * float_pitch(padded_head) + 2 * own * float_pitch(other);
  return {blocks_of(rows, own), kFloatThreads, static_cast<size_t>(floats * kFloatBytes)};
}

}  // namespace ssa::cuda
