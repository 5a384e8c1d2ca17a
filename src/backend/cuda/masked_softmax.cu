// The softmax of attention on stored logits: the baseline that fused attention is compared with.

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/row_groups.cuh"
#include "backend/cuda/visit_data.h"
#include "backend/row_checks.h"

namespace ssa {
namespace cuda {
namespace {

/// One row per target, window, head and sequence.
template <class T>
struct SoftmaxRows {
  const T* logits;         ///< (batch·heads·windows·targets, columns)
  T* out;                  ///< may be logits
  const int32_t* targets;  ///< (windows, targets_per_window)
  const int32_t* sources;  ///< (windows, columns)
  const float* slopes;     ///< (heads), or null
  int64_t rows, targets_per_head, targets_per_window, heads;
  int columns;
  float scale;
  bool causal, aligned;
};

/// The positions of a row's target and sources, which give bias and mask.
struct Masking {
  const int32_t* sources;
  int32_t target;
  float scale, slope;
  bool causal;

  template <class T>
  __device__ Masking(const SoftmaxRows<T>& all, int64_t row) {
    const int64_t in_head = row % all.targets_per_head;
    sources = all.sources + in_head / all.targets_per_window * all.columns;
    target = all.targets[in_head];
    scale = all.scale;
    slope = all.slopes ? all.slopes[row / all.targets_per_head % all.heads] : 0.0f;
    causal = all.causal;
  }
  /// The biased logit; -inf if masked.
  __device__ float logit(float product, int c) const {
    const int32_t source = sources[c];
    if (causal && source > target) return -INFINITY;
    return scale * product - slope * static_cast<float>(target - source);
  }
};

template <class T, int kThreads, int kChunks>
__global__ void __launch_bounds__(RowGroup<kThreads>::kBlock)
    masked_softmax_rows(SoftmaxRows<T> all) {
  using Group = RowGroup<kThreads>;
  constexpr int kSize = Chunk<T>::kSize;
  const int64_t row = Group::number();
  if (row >= all.rows) return;  // for whole warps, where a block has several rows
  const int columns = all.columns;
  const Masking masking(all, row);
  const T* logits = all.logits + row * columns;
  T* out = all.out + row * columns;
  Floats<kSize> kept[kChunks > 0 ? kChunks : 1];
  const auto read = [&](int i, int c) {
    const Chunk<T> products = read_chunk(logits, c, columns, all.aligned);
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      kept[i].values[k] = c + k < columns ? masking.logit(products[k], c + k) : -INFINITY;
    }
  };

  float highest = -INFINITY;
  for_my_chunks<T, kThreads, kChunks>(columns, [&](int i, int c) {
    read(i, c);
#pragma unroll
    for (int k = 0; k < kSize; ++k) highest = kept[i][k] > highest ? kept[i][k] : highest;
  });
  highest = Group::max(highest);
  if (highest == -INFINITY) highest = 0.0f;  // all are masked, or a NaN is there, which must show
  float total = 0.0f;
  for_my_chunks_again<T, kThreads, kChunks>(columns, read, [&](int i, int) {
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      kept[i].values[k] = expf(kept[i][k] - highest);
      total += kept[i][k];
    }
  });
  total = Group::sum(total);
  const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
  for_my_chunks<T, kThreads, kChunks>(columns, [&](int i, int c) {
    if (kChunks == 0) {
      read(i, c);
#pragma unroll
      for (int k = 0; k < kSize; ++k) kept[i].values[k] = expf(kept[i][k] - highest);
    }
    Chunk<T> weights;
#pragma unroll
    for (int k = 0; k < kSize; ++k) weights.set(k, kept[i][k] * inverse);
    write_chunk(out, c, columns, all.aligned, weights);
  });
}

template <class T>
struct SoftmaxGradients {
  const T* weights;
  const T* grad_weights;
  T* grad_logits;  ///< may be grad_weights
  int64_t rows;
  int columns;
  float scale;
  bool aligned;
};

template <class T, int kThreads, int kChunks>
__global__ void __launch_bounds__(RowGroup<kThreads>::kBlock)
    masked_softmax_gradients(SoftmaxGradients<T> all) {
  using Group = RowGroup<kThreads>;
  constexpr int kSize = Chunk<T>::kSize, kKept = kChunks > 0 ? kChunks : 1;
  const int64_t row = Group::number();
  if (row >= all.rows) return;
  const int columns = all.columns;
  const int64_t begin = row * columns;
  Chunk<T> p[kKept], dp[kKept];
  const auto read = [&](int i, int c) {
    p[i] = read_chunk(all.weights + begin, c, columns, all.aligned);
    dp[i] = read_chunk(all.grad_weights + begin, c, columns, all.aligned);
  };
  float sum = 0.0f;  // weights are 0 beyond the last column
  for_my_chunks<T, kThreads, kChunks>(columns, [&](int i, int c) {
    read(i, c);
#pragma unroll
    for (int k = 0; k < kSize; ++k) sum += p[i][k] * dp[i][k];
  });
  sum = Group::sum(sum);
  for_my_chunks_again<T, kThreads, kChunks>(columns, read, [&](int i, int c) {
    Chunk<T> grad;
#pragma unroll
    for (int k = 0; k < kSize; ++k) grad.set(k, all.scale * p[i][k] * (dp[i][k] - sum));
    write_chunk(all.grad_logits + begin, c, columns, all.aligned, grad);
  });
}

}  // namespace
}  // namespace cuda

void CudaBackend::masked_softmax(const MaskedSoftmaxArgs& args) {
  const checks::Op op("masked_softmax", Device::cuda);
  checks::require_masked_softmax(op, args);
  if (args.logits.numel() == 0) return;
  const Shape& shape = args.logits.shape();
  Tensor out = args.out;
  cuda::visit_data(args.logits.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::SoftmaxRows<T> all{
        .logits = args.logits.data<T>(),
        .out = out.data<T>(),
        .targets = args.plan.targets.data<int32_t>(),
        .sources = args.plan.sources.data<int32_t>(),
        .slopes = args.alibi_slopes.defined() ? args.alibi_slopes.data<float>() : nullptr,
        .rows = args.logits.numel() / shape[4],
        .targets_per_head = shape[2] * shape[3],
        .targets_per_window = shape[3],
        .heads = shape[1],
        .columns = static_cast<int>(shape[4]),
        .scale = static_cast<float>(args.scale),
        .causal = args.causal,
        .aligned = false};
    all.aligned = cuda::rows_are_aligned(all.logits, all.columns) &&
                  cuda::rows_are_aligned(all.out, all.columns);
    cuda::visit_width<T>(all.columns, [&](auto threads, auto chunks) {
      cuda::launch_rows<threads()>(op.name, cuda::masked_softmax_rows<T, threads(), chunks()>,
                                   all.rows, all);
    });
  });
}

void CudaBackend::masked_softmax_backward(const Tensor& weights, double scale,
                                          const Tensor& grad_weights, Tensor& grad_logits) {
  const checks::Op op("masked_softmax_backward", Device::cuda);
  checks::require_masked_softmax_gradients(op, weights, grad_weights, grad_logits);
  if (weights.numel() == 0) return;
  cuda::visit_data(weights.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::SoftmaxGradients<T> all{.weights = weights.data<T>(),
                                  .grad_weights = grad_weights.data<T>(),
                                  .grad_logits = grad_logits.data<T>(),
                                  .rows = weights.numel() / weights.dim(4),
                                  .columns = static_cast<int>(weights.dim(4)),
                                  .scale = static_cast<float>(scale),
                                  .aligned = false};
    all.aligned = cuda::rows_are_aligned(all.weights, all.columns) &&
                  cuda::rows_are_aligned(all.grad_weights, all.columns) &&
                  cuda::rows_are_aligned(all.grad_logits, all.columns);
    cuda::visit_width<T>(all.columns, [&](auto threads, auto chunks) {
      cuda::launch_rows<threads()>(op.name, cuda::masked_softmax_gradients<T, threads(), chunks()>,
                                   all.rows, all);
    });
  });
}

}  // namespace ssa
