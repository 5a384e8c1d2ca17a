#pragma once

// How kernels that reduce each row divide a matrix among threads: a warp per narrow row, a block
// per wide row.

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "backend/cuda/chunk.cuh"
#include "backend/cuda/device.h"
#include "backend/cuda/launch.h"

namespace ssa::cuda {

/// The maximum over the block's threads, returned to all of them. blockDim as for block_sum().
__device__ inline float block_max(float value) {
  __shared__ float partial[kWarp];
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  value = warp_max(value);
  __syncthreads();  // the results of an earlier call may still be read
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  return warp_max(partial[lane < blockDim.x / kWarp ? lane : 0]);
}

/// The kThreads threads (a warp, or a whole block) that share a row.
template <int kThreads>
struct RowGroup {
  static constexpr bool kIsWarp = kThreads == kWarp;
  static constexpr int kGroups = kIsWarp ? 4 : 1;  ///< in a block
  static constexpr int kBlock = kThreads * kGroups;

  /// This group's number in the grid.
  __device__ static int64_t number() { return int64_t{blockIdx.x} * kGroups + in_block(); }
  __device__ static int in_block() { return kIsWarp ? static_cast<int>(threadIdx.x) / kWarp : 0; }
  __device__ static int thread() { return static_cast<int>(threadIdx.x) % kThreads; }
  __device__ static float sum(float value) {
    if constexpr (kIsWarp) {
      return warp_sum(value);
    } else {
      return block_sum(value);
    }
  }
  __device__ static float max(float value) {
    if constexpr (kIsWarp) {
      return warp_max(value);
    } else {
      return block_max(value);
    }
  }
  /// Blocks for this many groups.
  static unsigned blocks(int64_t groups) {
    return static_cast<unsigned>((groups + kGroups - 1) / kGroups);
  }
};

/// Calls f(number, first column) for this thread's chunks of a row. There are at most kChunks,
/// numbered 0, 1, …, so that they can stay in registers. If kChunks is 0, there may be any number,
/// and all are numbered 0.
template <class T, int kThreads, int kChunks, class F>
__device__ void for_my_chunks(int columns, const F& f) {
  constexpr int kStep = kThreads * Chunk<T>::kSize;
  const int first = RowGroup<kThreads>::thread() * Chunk<T>::kSize;
  if constexpr (kChunks > 0) {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      if (first + i * kStep < columns) f(i, first + i * kStep);
    }
  } else {
    for (int64_t c = first; c < columns; c += kStep) f(0, static_cast<int>(c));
  }
}

/// A later pass over the same chunks. If they do not stay in registers (kChunks is 0), read(number,
/// first column) loads each again first.
template <class T, int kThreads, int kChunks, class Read, class F>
__device__ void for_my_chunks_again(int columns, const Read& read, const F& f) {
  for_my_chunks<T, kThreads, kChunks>(columns, [&](int i, int c) {
    if (kChunks == 0) read(i, c);
    f(i, c);
  });
}

/// Launches a kernel with one RowGroup of kThreads per row.
template <int kThreads, class Arguments>
void launch_rows(std::string_view primitive, void (*kernel)(Arguments), int64_t rows,
                 const Arguments& all) {
  using Group = RowGroup<kThreads>;
  launch(primitive, kernel, dim3(Group::blocks(rows)), dim3(Group::kBlock), 0, all);
}

/// Calls f(threads per row, chunks per thread) with constants. Rows of up to 4096 columns can stay
/// in registers; for wider rows the second is 0.
template <class T, class F>
void visit_width(int64_t columns, const F& f) {
  constexpr int kKept = 16;  // elements per thread; a kernel may need four registers for each
  using Chunks = std::integral_constant<int, kKept / Chunk<T>::kSize>;
  if (columns <= kKept * 32) return f(std::integral_constant<int, 32>{}, Chunks{});
  if (columns <= kKept * 128) return f(std::integral_constant<int, 128>{}, Chunks{});
  if (columns <= kKept * 256) return f(std::integral_constant<int, 256>{}, Chunks{});
  f(std::integral_constant<int, 256>{}, std::integral_constant<int, 0>{});
}

}  // namespace ssa::cuda
