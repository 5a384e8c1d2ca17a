#pragma once

// The division of a matrix among threads for kernels that reduce every row: narrow rows have a warp
// each, wide ones a block.

#include <cstdint>
#include <type_traits>

#include "backend/cuda/chunk.cuh"
#include "backend/cuda/device.h"

namespace ssa::cuda {

/// Largest over the block's threads, for all of them. blockDim as for block_sum().
__device__ inline float block_max(float value) {
  __shared__ float partial[kWarp];
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  value = warp_max(value);
  __syncthreads();  // an earlier call may still be read
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

  /// This group's number among those of the whole grid.
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

/// Calls f(number of the chunk, its first column) for this thread's chunks of a row: at most
/// kChunks, numbered 0, 1, … so that they may stay in registers; if kChunks is 0, any number of
/// them, all numbered 0.
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

/// Calls f(threads that share a row, chunks that each keeps) as constants:
/// rows of up to 4096 columns can stay in registers.
template <class T, class F>
void visit_width(int64_t columns, const F& f) {
  constexpr int kKept = 16;  // elements per thread; kernels have up to four registers for each
  using Chunks = std::integral_constant<int, kKept / Chunk<T>::kSize>;
  if (columns <= kKept * 32) return f(std::integral_constant<int, 32>{}, Chunks{});
  if (columns <= kKept * 128) return f(std::integral_constant<int, 128>{}, Chunks{});
  if (columns <= kKept * 256) return f(std::integral_constant<int, 256>{}, Chunks{});
  f(std::integral_constant<int, 256>{}, std::integral_constant<int, 0>{});
}

}  // namespace ssa::cuda
