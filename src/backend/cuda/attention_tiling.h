#pragma once

#include <cstddef>
#include <cstdint>

// Launch shapes of the attention kernels: plain arithmetic on sizes, for the host.

namespace ssa::cuda {

inline constexpr int kMaxHeadSize = 256;

/// The shared memory that a block can have on every device since sm_80.
inline constexpr size_t kSharedMemoryEverywhere = size_t{99} << 10;

/// The smallest head size, of those that kernels for 16-bit data are compiled for (32, 64, 96, 128,
/// 256), that holds this one. Heads are padded with zeros.
int padded_head_size(int head_size);
/// The same for the f32 kernels: 32, 64, 128 or 256.
int padded_head_size_f32(int head_size);

/// How the kernels for 16-bit data cut a window. A warp has 16·row_tiles rows: targets, or sources
/// in the kernel for the gradients of keys and values. A block loops over tiles of `columns` of the
/// other side.
struct HalfTile {
  int row_tiles, columns;
};
/// `relative`: with a learned 2-D bias or regions, whose look-ups need registers.
constexpr HalfTile forward_tile(int padded_head, bool relative) {
  if (relative) return {1, padded_head <= 64 ? 64 : 32};
  if (padded_head <= 64) return {2, 64};
  return padded_head <= 128 ? HalfTile{2, 32} : HalfTile{1, 32};
}
/// The tile of the kernel for the gradients of queries, or (by_source) of keys and values, which
/// sums two matrices at once. With more row tiles a warp reuses its loads more often, as long as
/// registers suffice.
constexpr HalfTile gradient_tile(int padded_head, bool by_source) {
  switch (padded_head) {
    case 32:
      return {2, 32};
    case 64:
      return by_source ? HalfTile{1, 64} : HalfTile{2, 32};
    case 96:
      return {1, by_source ? 32 : 64};
    case 128:
      return {1, 32};
    default:
      return {1, 16};
  }
}
/// The most warps of a block.
inline constexpr int kMaxWarps = 4;

/// How the f32 kernels cut a window: 16·rows_per_thread rows, 16·columns_per_thread columns.
struct FloatTile {
  int rows_per_thread, columns_per_thread;
};
constexpr FloatTile float_forward_tile(int padded_head) {
  return padded_head <= 128 ? FloatTile{4, 4} : FloatTile{2, 2};
}
constexpr FloatTile float_gradient_tile(int padded_head) {
  if (padded_head <= 64) return {4, 2};
  return padded_head == 128 ? FloatTile{2, 2} : FloatTile{1, 1};
}
inline constexpr int kFloatThreads = 256;
/// Floats from one row of a tile to the next. The padding avoids bank conflicts in shared memory.
constexpr int float_pitch(int columns) { return columns + 4; }

/// Blocks along a window, threads of a block, and its shared memory in bytes.
struct AttentionLaunch {
  int row_blocks, threads;
  size_t shared_bytes;
};

/// What launches of the kernels for 16-bit data depend on, besides the head size.
struct HalfProblem {
  int rows;             ///< targets of a window, or sources
  int64_t windows;      ///< of all heads and sequences
  size_t shared_limit;  ///< bytes of shared memory that a block may have
  int multiprocessors;
};

/// Blocks have fewer warps if windows are short, or if there would be too few blocks to occupy the
/// device.
AttentionLaunch half_forward_launch(int padded_head, bool relative, const HalfProblem& problem);
AttentionLaunch half_gradient_launch(int padded_head, bool by_source, const HalfProblem& problem);
/// For windows of `rows`.
AttentionLaunch float_forward_launch(int padded_head, int rows);
AttentionLaunch float_gradient_launch(int padded_head, int rows);

}  // namespace ssa::cuda
