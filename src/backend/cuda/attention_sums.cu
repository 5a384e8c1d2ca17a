// The parts of attention's gradients before and after the matrix products: δ of every target, and
// the sums over windows, since several windows may sample the same position.

#include "backend/cuda/attention.cuh"
#include "backend/cuda/attention_kernels.h"
#include "backend/cuda/attention_sums.h"
#include "backend/cuda/chunk.cuh"

namespace ssa::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = kThreads / kWarp;  // of kernels with one warp per row

template <class T>
__device__ T* row_data(const HeadRows& rows, int64_t batch, int64_t row) {
  return reinterpret_cast<T*>(rows.data) + batch * rows.batch_stride + row * rows.row_stride;
}

unsigned blocks_for(int64_t items, int64_t items_per_block) {
  const int64_t blocks = (items + items_per_block - 1) / items_per_block;
  SSA_CHECK(blocks <= INT_MAX, "attention: {} rows are too many for the cuda backend", items);
  return static_cast<unsigned>(blocks);
}

/// Lanes per row (b, n, h): one per 16 bytes, rounded to a power of two, at most 32.
int statistics_lanes(int head_size, size_t element) {
  int lanes = 1;
  while (lanes < kWarp && lanes * 16 < head_size * static_cast<int>(element)) lanes *= 2;
  return lanes;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    statistics_kernel(const AttentionProblem p, const HeadRows grad_out, const float lse_factor,
                      const int lanes, TargetStatistics* statistics) {
  const int64_t number = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / lanes;
  const bool exists = number < int64_t{p.batch} * p.length * p.heads;
  const auto head = static_cast<int>(number % p.heads);
  const auto row = static_cast<int>(number / p.heads % p.length);
  const int64_t batch = number / p.heads / p.length;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  float sum = 0;
  if (exists) {
    const T* out = row_data<const T>(p.out, batch, row) + int64_t{head} * p.head_size;
    const T* grad = row_data<const T>(grad_out, batch, row) + int64_t{head} * p.head_size;
    constexpr int kSize = Chunk<T>::kSize;
    for (int d = lane * kSize; d < p.head_size; d += lanes * kSize) {
      const Chunk<T> a = read_chunk(out, d, p.head_size, p.vectors);
      const Chunk<T> b = read_chunk(grad, d, p.head_size, p.vectors);
#pragma unroll
      for (int k = 0; k < kSize; ++k) sum += a[k] * b[k];
    }
  }
  for (int mask = lanes / 2; mask > 0; mask /= 2) sum += __shfl_xor_sync(kAllLanes, sum, mask);
  if (!exists || lane != 0) return;
  const int64_t at = (batch * p.heads + head) * p.length + row;
  const float lse = p.lse[at];
  statistics[at] =
      lse == -INFINITY ? TargetStatistics{INFINITY, 0.0f} : TargetStatistics{lse * lse_factor, sum};
}

/// One warp per row (b, n).
template <class T>
__global__ void __launch_bounds__(kThreads)
    clear_kernel(const HeadRows out, const int64_t batch, const int rows, const int columns) {
  const int64_t number = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (number >= batch * rows) return;
  T* row = row_data<T>(out, number / rows, number % rows);
  for (int i = static_cast<int>(threadIdx.x % kWarp); i < columns; i += kWarp) {
    row[i] = from_float<T>(0.0f);
  }
}

__global__ void __launch_bounds__(kThreads) fill_slots_kernel(const int64_t count, int32_t* slots) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) slots[i] = -1;
}

/// slots[sources[w][s]][w] = s.
__global__ void __launch_bounds__(kThreads) slots_kernel(const AttentionProblem p, int32_t* slots) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= int64_t{p.windows} * p.sources) return;
  const int position = query_row(p, p.source_positions[i]);  // 0 if it is not valid
  slots[position * int64_t{p.windows} + i / p.sources] = static_cast<int>(i % p.sources);
}

/// One block per row (b, n): all heads of grad_key and grad_value.
template <class T>
__global__ void __launch_bounds__(kThreads)
    add_partial_kernel(const AttentionProblem p, const AttentionGradients g, const int32_t* slots) {
  const int row = static_cast<int>(blockIdx.x) % p.length;
  const int64_t batch = static_cast<int>(blockIdx.x) / p.length;
  const int columns = p.heads * p.head_size;
  T* key = row_data<T>(g.grad_key, batch, row);
  T* value = row_data<T>(g.grad_value, batch, row);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (int first = 0; first < 2 * columns; first += kThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    const int column = i < columns ? i : i - columns;
    const int head = column / p.head_size, d = column % p.head_size;
    const float* partial = i < columns ? g.partial_key : g.partial_value;
    float sum = 0;
    for (int some = 0; some < p.windows; some += kWarp) {
      const int slot =
          some + lane < p.windows ? __ldg(slots + row * int64_t{p.windows} + some + lane) : -1;
      unsigned sampling = __ballot_sync(kAllLanes, slot >= 0);
      while (sampling != 0) {
        const int window = __ffs(static_cast<int>(sampling)) - 1;
        sampling &= sampling - 1;
        const int64_t s = __shfl_sync(kAllLanes, slot, window);
        const int64_t part = (batch * p.windows + some + window) * p.sources + s;
        if (i < 2 * columns) sum += partial[(part * p.heads + head) * g.partial_stride + d];
      }
    }
    if (i < 2 * columns) (i < columns ? key : value)[column] = from_float<T>(sum);
  }
}

/// A distance from target to source. `channel` is 0 where channels are not told apart.
struct GridDistance {
  int down, right, channel;
  /// That of a row of the table.
  __device__ GridDistance(const RelativeBias& relative, int table_row) {
    const int row_entries = 2 * relative.reach_across + 1, stride = relative.column_stride;
    down = table_row / row_entries - (relative.rows - 1);
    const int across = table_row % row_entries;
    right = across / stride - relative.reach_across / stride;
    channel = across % stride - (stride - 1) / 2;
  }
};

/// Calls f(slot) for each source at a distance from target `number` of the plan, if its window has
/// sampled it. Where channels are not told apart, all sources of a cell are at the same distance.
template <class F>
__device__ void for_each_slot(const AttentionProblem& p, const int32_t* slots, int number,
                              const GridDistance& distance, F&& f) {
  const int target = query_row(p, __ldg(p.target_positions + number));
  const int row_positions = p.relative.row_positions, channels = p.relative.channels;
  const int row = target / row_positions - distance.down, in_row = target % row_positions;
  const int first = (in_row / channels - distance.right) * channels;
  if (row < 0 || first < 0 || first >= row_positions) return;
  int begin = 0, end = channels;
  if (p.relative.column_stride > 1) {
    begin = in_row % channels - distance.channel;
    if (begin < 0 || begin >= channels) return;
    end = begin + 1;
  }
  for (int channel = begin; channel < end; ++channel) {
    const int source = row * row_positions + first + channel;
    if (source >= p.length) return;
    const int slot = __ldg(slots + source * int64_t{p.windows} + number / p.targets);
    if (slot >= 0) f(slot);
  }
}

/// One block per row of the table, for all heads. A row is one distance from source to target.
__global__ void __launch_bounds__(kThreads)
    relative_gradient_kernel(const AttentionProblem p, const LogitGradients logits,
                             const int32_t* slots, float* grad_table) {
  const int row = static_cast<int>(blockIdx.x);
  const GridDistance distance(p.relative, row);
  for (int head = 0; head < logits.count; ++head) {
    float sum = 0;
    for (int number = static_cast<int>(threadIdx.x); number < p.length; number += kThreads) {
      const float* gradients = logits.sums + (head * int64_t{p.length} + number) * p.sources;
      for_each_slot(p, slots, number, distance, [&](int slot) { sum += gradients[slot]; });
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
      grad_table[row * int64_t{p.heads} + logits.first_head + head] += sum;
    }
  }
}

}  // namespace

template <class T>
void attention_statistics(const AttentionProblem& p, const HeadRows& grad_out, float lse_factor,
                          TargetStatistics* statistics) {
  const int lanes = statistics_lanes(p.head_size, sizeof(T));
  const unsigned blocks = blocks_for(int64_t{p.batch} * p.length * p.heads, kThreads / lanes);
  launch("attention_backward", statistics_kernel<T>, dim3(blocks), dim3(kThreads), 0, p, grad_out,
         lse_factor, lanes, statistics);
}

template <class T>
void clear_heads(const AttentionProblem& p, const HeadRows& out, int rows) {
  const unsigned blocks = blocks_for(int64_t{p.batch} * rows, kRowsPerBlock);
  launch("attention_backward", clear_kernel<T>, dim3(blocks), dim3(kThreads), 0, out,
         int64_t{p.batch}, rows, p.heads * p.head_size);
}

void find_slots(const AttentionProblem& p, int32_t* slots) {
  const int64_t count = int64_t{p.windows} * p.length, sampled = int64_t{p.windows} * p.sources;
  launch("attention_backward", fill_slots_kernel, dim3(blocks_for(count, kThreads)), dim3(kThreads),
         0, count, slots);
  launch("attention_backward", slots_kernel, dim3(blocks_for(sampled, kThreads)), dim3(kThreads), 0,
         p, slots);
}

template <class T>
void add_partial_gradients(const AttentionProblem& p, const AttentionGradients& g,
                           const int32_t* slots) {
  launch("attention_backward", add_partial_kernel<T>,
         dim3(blocks_for(int64_t{p.batch} * p.length, 1)), dim3(kThreads), 0, p, g, slots);
}

void add_relative_gradient(const AttentionProblem& p, const LogitGradients& logits,
                           const int32_t* slots, float* grad_table) {
  launch("attention_backward", relative_gradient_kernel,
         dim3(static_cast<unsigned>((2 * p.relative.rows - 1) * (2 * p.relative.reach_across + 1))),
         dim3(kThreads), 0, p, logits, slots, grad_table);
}

#define SSA_FOR_DATA(T)                                                                      \
  template void attention_statistics<T>(const AttentionProblem&, const HeadRows&, float,     \
                                        TargetStatistics*);                                  \
  template void clear_heads<T>(const AttentionProblem&, const HeadRows&, int);               \
  template void add_partial_gradients<T>(const AttentionProblem&, const AttentionGradients&, \
                                         const int32_t*);
SSA_FOR_DATA(float)
SSA_FOR_DATA(BFloat16)
SSA_FOR_DATA(Float16)
#undef SSA_FOR_DATA

}  // namespace ssa::cuda
