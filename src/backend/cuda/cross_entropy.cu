// Softmax cross-entropy over rows of any width. Forward and backward read the logits once each.

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

template <class T>
struct LossRows {
  const T* logits;         ///< (rows, columns)
  const int32_t* targets;  ///< (rows), -1: none
  float* loss;
  float* lse;
  ErrorRecord* record;
  int64_t rows;
  int columns;
  bool aligned;
};

template <class T, int kThreads>
__global__ void __launch_bounds__(RowGroup<kThreads>::kBlock) cross_entropy_rows(LossRows<T> all) {
  using Group = RowGroup<kThreads>;
  const int64_t row = Group::number();
  if (row >= all.rows) return;  // for whole warps, where a block has several rows
  const T* logits = all.logits + row * all.columns;
  const float log_total =
      log_sum_exp<T, kThreads>(logits, all.columns, all.aligned, [](const auto&, int) {});
  if (Group::thread() != 0) return;
  const int32_t target =
      checked_id(all.targets[row], -1, all.columns, Lookup::cross_entropy, row, all.record);
  all.lse[row] = log_total;
  all.loss[row] = target < 0 ? 0.0f : log_total - to_float(logits[target]);
}

template <class T>
struct LossGradients {
  const T* logits;
  const int32_t* targets;
  const float* lse;
  const float* grad_loss;
  T* grad_logits;  ///< may be logits
  ErrorRecord* record;
  int64_t rows;
  int columns;
  int columns_per_group;  ///< a multiple of the chunks of a group
  bool aligned;
};

/// Grid: row groups, parts of the columns.
template <class T, int kThreads>
__global__ void __launch_bounds__(RowGroup<kThreads>::kBlock)
    cross_entropy_gradients(LossGradients<T> all) {
  using Group = RowGroup<kThreads>;
  constexpr int kSize = Chunk<T>::kSize;
  const int64_t row = Group::number();
  if (row >= all.rows) return;
  const T* logits = all.logits + row * all.columns;
  T* grad_logits = all.grad_logits + row * all.columns;
  const int32_t target = checked_id(all.targets[row], -1, all.columns,
                                    Lookup::cross_entropy_backward, row, all.record);
  const float log_total = all.lse[row], grad = target < 0 ? 0.0f : all.grad_loss[row];
  const int first = static_cast<int>(blockIdx.y) * all.columns_per_group;
  const int count =
      all.columns - first < all.columns_per_group ? all.columns - first : all.columns_per_group;
  for_my_chunks<T, kThreads, 0>(count, [&](int, int in_part) {
    const int c = first + in_part;
    const Chunk<T> x = read_chunk(logits, c, all.columns, all.aligned);
    Chunk<T> result;
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      const float probability = expf(x[k] - log_total);
      const float value = grad * (c + k == target ? probability - 1.0f : probability);
      result.set(k, target < 0 ? 0.0f : value);  // 0 even if a logit is NaN
    }
    write_chunk(grad_logits, c, all.columns, all.aligned, result);
  });
}

}  // namespace
}  // namespace cuda

void CudaBackend::cross_entropy(const Tensor& logits, const Tensor& targets, Tensor& loss,
                                Tensor& lse) {
  const checks::Op op("cross_entropy", Device::cuda);
  checks::require_losses(op, logits, loss, lse);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  checks::require_packed(op, {"targets", targets}, DType::i32, {rows});
  if (rows == 0) return;
  cuda::visit_data(logits.dtype(), [&]<class T>(TypeTag<T>) {
    const T* x = logits.data<T>();
    const cuda::LossRows<T> all{.logits = x,
                                .targets = targets.data<int32_t>(),
                                .loss = loss.data<float>(),
                                .lse = lse.data<float>(),
                                .record = cuda::error_record(),
                                .rows = rows,
                                .columns = static_cast<int>(columns),
                                .aligned = cuda::rows_are_aligned(x, columns)};
    cuda::visit_row_threads<T>(columns, [&](auto threads) {
      cuda::launch_rows<threads()>(op.name, cuda::cross_entropy_rows<T, threads()>, rows, all);
    });
  });
}

void CudaBackend::cross_entropy_backward(const Tensor& logits, const Tensor& targets,
                                         const Tensor& lse, const Tensor& grad_loss,
                                         Tensor& grad_logits) {
  const checks::Op op("cross_entropy_backward", Device::cuda);
  checks::require_loss_gradients(op, logits, lse, grad_loss, grad_logits);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  checks::require_packed(op, {"targets", targets}, DType::i32, {rows});
  if (logits.numel() == 0) return;
  cuda::visit_data(logits.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::LossGradients<T> all{.logits = logits.data<T>(),
                               .targets = targets.data<int32_t>(),
                               .lse = lse.data<float>(),
                               .grad_loss = grad_loss.data<float>(),
                               .grad_logits = grad_logits.data<T>(),
                               .record = cuda::error_record(),
                               .rows = rows,
                               .columns = static_cast<int>(columns),
                               .columns_per_group = 0,
                               .aligned = false};
    all.aligned = cuda::rows_are_aligned(all.logits, columns) &&
                  cuda::rows_are_aligned(all.grad_logits, columns);
    const auto run = [&](auto threads) {
      using Group = cuda::RowGroup<threads()>;
      constexpr int kChunks = 8;
      all.columns_per_group = threads() * cuda::Chunk<T>::kSize * kChunks;
      const int64_t parts = (columns + all.columns_per_group - 1) / all.columns_per_group;
      cuda::launch("cross_entropy_backward", cuda::cross_entropy_gradients<T, threads()>,
                   dim3(Group::blocks(rows), static_cast<unsigned>(parts)), dim3(Group::kBlock), 0,
                   all);
    };
    if (columns <= int64_t{cuda::kWarp} * cuda::Chunk<T>::kSize * 8) {
      run(std::integral_constant<int, cuda::kWarp>{});
    } else {
      run(std::integral_constant<int, 256>{});
    }
  });
}

}  // namespace ssa
