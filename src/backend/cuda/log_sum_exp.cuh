#pragma once

// log Σ exp of a row of any width, reading it once.

#include "backend/cuda/row_groups.cuh"

namespace ssa::cuda {

/// Σ exp(x - highest) so far, and the highest x so far.
struct SumOfExps {
  float highest, sum;

  /// Avoids the NaN of -inf - (-inf), if all elements so far are -inf.
  __device__ static float exp_below(float x, float highest) {
    return expf(x - (highest == -INFINITY ? 0.0f : highest));
  }
  __device__ void raise(float to) {
    if (!(to > highest)) return;
    sum *= exp_below(highest, to);
    highest = to;
  }
  /// Adds the first `counts[i]` elements of chunk i. A NaN among them makes the sum one.
  template <class T, int kChunks>
  __device__ void add(const Chunk<T> (&chunks)[kChunks], const int (&counts)[kChunks]) {
    float top = highest;
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
#pragma unroll
      for (int k = 0; k < Chunk<T>::kSize; ++k) {
        top = k < counts[i] && chunks[i][k] > top ? chunks[i][k] : top;
      }
    }
    raise(top);
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
#pragma unroll
      for (int k = 0; k < Chunk<T>::kSize; ++k) {
        sum += k < counts[i] ? exp_below(chunks[i][k], highest) : 0.0f;
      }
    }
  }
};

/// log Σ exp of a row, returned to all of its threads. Calls also(chunk, number of its elements
/// that exist) for each chunk that this thread reads.
template <class T, int kThreads, class F>
__device__ float log_sum_exp(const T* logits, int columns, bool aligned, const F& also) {
  using Group = RowGroup<kThreads>;
  constexpr int kSize = Chunk<T>::kSize, kAhead = 2;  // chunks that are loaded at a time
  SumOfExps mine{-INFINITY, 0.0f};
  for (int64_t first = Group::thread() * kSize; first < columns;
       first += kAhead * kThreads * kSize) {
    Chunk<T> chunks[kAhead];
    int counts[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int64_t c = first + i * kThreads * kSize;
      counts[i] = static_cast<int>(columns - c < kSize ? columns - c : kSize);
      chunks[i] = read_chunk(logits, c, columns, aligned);
      also(chunks[i], counts[i]);
    }
    mine.add(chunks, counts);
  }
  mine.raise(Group::max(mine.highest));
  return mine.highest + logf(Group::sum(mine.sum));
}

/// Calls f(threads per row) with a constant, for rows of this many columns.
template <class T, class F>
void visit_row_threads(int64_t columns, const F& f) {
  constexpr int64_t kLoad = 16;
  const int64_t bytes = columns * static_cast<int64_t>(sizeof(T));
  if (bytes <= 8 * 32 * kLoad) return f(std::integral_constant<int, 32>{});
  if (bytes <= 8 * 256 * kLoad) return f(std::integral_constant<int, 256>{});
  f(std::integral_constant<int, 1024>{});
}

}  // namespace ssa::cuda
