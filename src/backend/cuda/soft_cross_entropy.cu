// Softmax cross-entropy against soft targets: a few weighted labels per row, and an equal
// probability for every class (label smoothing).

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/log_sum_exp.cuh"
#include "backend/cuda/row_groups.cuh"
#include "backend/cuda/visit_data.h"
#include "backend/row_checks.h"

namespace ssa {
namespace cuda {
namespace {

struct TargetRows {
  const int32_t* labels;  ///< (rows, per_row)
  const float* weights;   ///< (rows, per_row)
  int per_row;
  float base;      ///< probability of every class
  float labelled;  ///< multiplies the weights
  ErrorRecord* record;

  /// Label k of a row. Records an error and returns 0 if there is no such class.
  __device__ int32_t label(int64_t row, int k, int columns, Lookup primitive) const {
    return checked_id(labels[row * per_row + k], 0, columns, primitive, row * per_row + k, record);
  }
  /// The part of class v's probability that comes from the row's labels.
  __device__ float weight_of(int64_t row, int v) const {
    float sum = 0.0f;
    for (int k = 0; k < per_row; ++k) {
      if (labels[row * per_row + k] == v) sum += weights[row * per_row + k];
    }
    return labelled * sum;
  }
};

template <class T>
struct SoftLossRows {
  const T* logits;  ///< (rows, columns)
  TargetRows targets;
  float* loss;
  float* lse;
  int64_t rows;
  int columns;
  bool aligned;
};

template <class T, int kThreads>
__global__ void __launch_bounds__(RowGroup<kThreads>::kBlock)
    soft_cross_entropy_rows(SoftLossRows<T> all) {
  using Group = RowGroup<kThreads>;
  const int64_t row = Group::number();
  if (row >= all.rows) return;  // for whole warps, where a block has several rows
  const T* logits = all.logits + row * all.columns;
  float sum = 0.0f;  // of all logits
  const auto add = [&sum](const Chunk<T>& chunk, int count) {
#pragma unroll
    for (int k = 0; k < Chunk<T>::kSize; ++k) sum += k < count ? chunk[k] : 0.0f;
  };
  const float log_total = log_sum_exp<T, kThreads>(logits, all.columns, all.aligned, add);
  sum = Group::sum(sum);
  if (Group::thread() != 0) return;
  const TargetRows& targets = all.targets;
  float wanted = 0.0f;  // Σ_v p_v·logits[v]
  for (int k = 0; k < targets.per_row; ++k) {
    const int32_t label = targets.label(row, k, all.columns, Lookup::soft_cross_entropy);
    wanted += targets.weights[row * targets.per_row + k] * to_float(logits[label]);
  }
  wanted *= targets.labelled;
  if (targets.base > 0.0f) wanted += targets.base * sum;  // which may be infinite
  all.lse[row] = log_total;
  all.loss[row] = log_total - wanted;
}

template <class T>
struct SoftLossGradients {
  const T* logits;
  TargetRows targets;
  const float* lse;
  const float* grad_loss;
  T* grad_logits;  ///< may be logits
  int64_t rows;
  int columns;
  bool aligned;
};

template <class T, int kThreads>
__global__ void __launch_bounds__(RowGroup<kThreads>::kBlock)
    soft_cross_entropy_gradients(SoftLossGradients<T> all) {
  using Group = RowGroup<kThreads>;
  const int64_t row = Group::number();
  if (row >= all.rows) return;
  const T* logits = all.logits + row * all.columns;
  T* grad_logits = all.grad_logits + row * all.columns;
  const float log_total = all.lse[row], grad = all.grad_loss[row];
  const TargetRows& targets = all.targets;
  if (Group::thread() == 0) {
    for (int k = 0; k < targets.per_row; ++k) {
      targets.label(row, k, all.columns, Lookup::soft_cross_entropy_backward);
    }
  }
  for_my_chunks<T, kThreads, 0>(all.columns, [&](int, int c) {
    const Chunk<T> x = read_chunk(logits, c, all.columns, all.aligned);
    Chunk<T> result;
#pragma unroll
    for (int k = 0; k < Chunk<T>::kSize; ++k) {
      const float wanted = targets.base + targets.weight_of(row, c + k);
      result.set(k, grad * (expf(x[k] - log_total) - wanted));
    }
    write_chunk(grad_logits, c, all.columns, all.aligned, result);
  });
}

TargetRows target_rows(const SoftTargets& targets, int64_t columns) {
  return {.labels = targets.labels.data<int32_t>(),
          .weights = targets.weights.data<float>(),
          .per_row = static_cast<int>(targets.labels.dim(1)),
          .base = static_cast<float>(targets.smoothing / static_cast<double>(columns)),
          .labelled = static_cast<float>(1.0 - targets.smoothing),
          .record = error_record()};
}

}  // namespace
}  // namespace cuda

void CudaBackend::soft_cross_entropy(const Tensor& logits, const SoftTargets& targets, Tensor& loss,
                                     Tensor& lse) {
  const checks::Op op("soft_cross_entropy", Device::cuda);
  checks::require_losses(op, logits, loss, lse);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  checks::require_soft_targets(op, targets, rows);
  if (rows == 0) return;
  cuda::visit_data(logits.dtype(), [&]<class T>(TypeTag<T>) {
    const T* x = logits.data<T>();
    const cuda::SoftLossRows<T> all{.logits = x,
                                    .targets = cuda::target_rows(targets, columns),
                                    .loss = loss.data<float>(),
                                    .lse = lse.data<float>(),
                                    .rows = rows,
                                    .columns = static_cast<int>(columns),
                                    .aligned = cuda::rows_are_aligned(x, columns)};
    cuda::visit_row_threads<T>(columns, [&](auto threads) {
      cuda::launch_rows<threads()>(op.name, cuda::soft_cross_entropy_rows<T, threads()>, rows, all);
    });
  });
}

void CudaBackend::soft_cross_entropy_backward(const Tensor& logits, const SoftTargets& targets,
                                              const Tensor& lse, const Tensor& grad_loss,
                                              Tensor& grad_logits) {
  const checks::Op op("soft_cross_entropy_backward", Device::cuda);
  checks::require_loss_gradients(op, logits, lse, grad_loss, grad_logits);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  checks::require_soft_targets(op, targets, rows);
  if (logits.numel() == 0) return;
  cuda::visit_data(logits.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::SoftLossGradients<T> all{.logits = logits.data<T>(),
                                   .targets = cuda::target_rows(targets, columns),
                                   .lse = lse.data<float>(),
                                   .grad_loss = grad_loss.data<float>(),
                                   .grad_logits = grad_logits.data<T>(),
                                   .rows = rows,
                                   .columns = static_cast<int>(columns),
                                   .aligned = false};
    all.aligned = cuda::rows_are_aligned(all.logits, columns) &&
                  cuda::rows_are_aligned(all.grad_logits, columns);
    cuda::visit_row_threads<T>(columns, [&](auto threads) {
      cuda::launch_rows<threads()>(op.name, cuda::soft_cross_entropy_gradients<T, threads()>, rows,
                                   all);
    });
  });
}

}  // namespace ssa
