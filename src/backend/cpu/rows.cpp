// Primitives on the rows of a matrix: column sums, layer norm, embedding, cross-entropy.

#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/thread_scratch.h"
#include "backend/row_checks.h"

namespace ssa {

using cpu::kernels;
using cpu::parallel_parts;
using cpu::rows_per_part;
using cpu::visit_data;

namespace {

/// Rows per partial sum: at least 64, and few enough partial sums (at most kMostSums). A function
/// of the shape alone, so that results do not depend on the threads.
constexpr int64_t kMostSums = 64;
int64_t rows_per_sum(int64_t rows) {
  return std::max<int64_t>(64, (rows + kMostSums - 1) / kMostSums);
}

/// (parts, columns) zeros for partial sums.
Tensor partial_sums(int64_t parts, int64_t columns) {
  return Tensor::zeros({parts, columns}, DType::f32, Device::cpu, MemoryCategory::workspace);
}

/// out (N) += the rows of `sums`, in order.
void add_partial_sums(const Tensor& sums, Tensor& out) {
  kernels().f32.add_rows(sums.data<float>(), sums.dim(1), sums.dim(0), sums.dim(1),
                         out.data<float>());
}

}  // namespace

void CpuBackend::column_sum(const Tensor& in, Tensor& out, bool accumulate) {
  checks::require_rank("column_sum", {"in", in}, 2);
  const int64_t rows = in.dim(0), columns = in.dim(1), part = rows_per_sum(rows);
  checks::require_data_dtype("column_sum", {"in", in});
  checks::require_rows("column_sum", {"in", in}, in.dtype(), in.shape());
  checks::require_packed("column_sum", {"out", out}, DType::f32, {columns});
  const int64_t stride = checks::row_stride(in);
  Tensor sums = partial_sums((rows + part - 1) / part, columns);
  auto* partial = sums.data<float>();
  visit_data(in.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T* x = in.data<T>();
    parallel_parts(rows, part, [&](int64_t first, int64_t count) {
      on_data.add_rows(x + first * stride, stride, count, columns,
                       partial + first / part * columns);
    });
  });
  if (!accumulate) std::fill_n(out.data<float>(), columns, 0.0f);
  add_partial_sums(sums, out);
}

void CpuBackend::layer_norm(const Tensor& in, const Tensor& gain, const Tensor& shift, double eps,
                            Tensor& out, Tensor& mean, Tensor& rstd) {
  checks::require_layer_norm("layer_norm", in, gain, shift, out, mean, rstd);
  const int64_t rows = in.dim(0), columns = in.dim(1);
  const float *scale = gain.data<float>(), *offset = shift.data<float>();
  float *mu = mean.data<float>(), *inverse = rstd.data<float>();
  visit_data(in.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T* x = in.data<T>();
    T* y = out.data<T>();
    parallel_parts(rows, rows_per_part(columns), [&](int64_t first, int64_t count) {
      on_data.layer_norm(x + first * columns, scale, offset, static_cast<float>(eps), count,
                         columns, y + first * columns, mu + first, inverse + first);
    });
  });
}

void CpuBackend::layer_norm_backward(const LayerNormBackwardArgs& args) {
  checks::require_layer_norm_gradients("layer_norm_backward", args);
  const int64_t rows = args.in.dim(0), columns = args.in.dim(1), part = rows_per_sum(rows);
  const int64_t parts = (rows + part - 1) / part;
  Tensor gain_sums = partial_sums(parts, columns), shift_sums = partial_sums(parts, columns);
  Tensor grad_in = args.grad_in, out = args.out;
  visit_data(args.in.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const cpu::LayerNormRows<T> all{.in = args.in.data<T>(),
                                    .gain = args.gain.data<float>(),
                                    .shift = out.defined() ? args.shift.data<float>() : nullptr,
                                    .mean = args.mean.data<float>(),
                                    .rstd = args.rstd.data<float>(),
                                    .grad_out = args.grad_out.data<T>(),
                                    .grad_in = grad_in.data<T>(),
                                    .accumulate = args.accumulate,
                                    .grad_gain = gain_sums.data<float>(),
                                    .grad_shift = shift_sums.data<float>(),
                                    .out = out.defined() ? out.data<T>() : nullptr};
    parallel_parts(rows, part, [&](int64_t first, int64_t count) {
      const int64_t begin = first * columns, sums = first / part * columns;
      cpu::LayerNormRows<T> some = all;
      some.in += begin;
      some.mean += first;
      some.rstd += first;
      some.grad_out += begin;
      some.grad_in += begin;
      some.grad_gain += sums;
      some.grad_shift += sums;
      if (some.out) some.out += begin;
      on_data.layer_norm_backward(some, count, columns);
    });
  });
  Tensor grad_gain = args.grad_gain, grad_shift = args.grad_shift;
  add_partial_sums(gain_sums, grad_gain);
  add_partial_sums(shift_sums, grad_shift);
}

void CpuBackend::embedding(const Tensor& table, const Tensor& ids, double factor, Tensor& out) {
  checks::require_embedding("embedding", {"table", table}, {"out", out});
  const int64_t rows = out.dim(0), columns = table.dim(1);
  checks::require_ids("embedding", "ids", ids, rows, 0, table.dim(0));
  const auto* from = table.data<float>();
  const auto* id = ids.data<int32_t>();
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    T* to = out.data<T>();
    parallel_parts(rows, rows_per_part(columns), [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        on_data.scale_from_f32(from + id[r] * columns, static_cast<float>(factor), to + r * columns,
                               columns);
      }
    });
  });
}

// Each thread reads all rows in order, and owns some of the columns.
void CpuBackend::embedding_backward(const Tensor& ids, double factor, const Tensor& grad_out,
                                    Tensor& grad_table) {
  constexpr int64_t kColumns = 64;
  checks::require_embedding("embedding_backward", {"grad_table", grad_table},
                            {"grad_out", grad_out});
  const int64_t rows = grad_out.dim(0), columns = grad_table.dim(1);
  checks::require_ids("embedding_backward", "ids", ids, rows, 0, grad_table.dim(0));
  const auto* id = ids.data<int32_t>();
  auto* to = grad_table.data<float>();
  visit_data(grad_out.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T* from = grad_out.data<T>();
    parallel_parts(columns, kColumns, [&](int64_t first, int64_t count) {
      for (int64_t r = 0; r < rows; ++r) {
        on_data.add_scaled(from + r * columns + first, static_cast<float>(factor),
                           to + id[r] * columns + first, count);
      }
    });
  });
}

void CpuBackend::cross_entropy(const Tensor& logits, const Tensor& targets, Tensor& loss,
                               Tensor& lse) {
  checks::require_losses("cross_entropy", logits, loss, lse);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  checks::require_ids("cross_entropy", "targets", targets, rows, -1, columns);
  const auto* target = targets.data<int32_t>();
  float *nats = loss.data<float>(), *log_total = lse.data<float>();
  visit_data(logits.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T* x = logits.data<T>();
    parallel_parts(rows, rows_per_part(columns), [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        log_total[r] = on_data.log_sum_exp(x + r * columns, columns);
        nats[r] =
            target[r] < 0 ? 0.0f : log_total[r] - static_cast<float>(x[r * columns + target[r]]);
      }
    });
  });
}

void CpuBackend::cross_entropy_backward(const Tensor& logits, const Tensor& targets,
                                        const Tensor& lse, const Tensor& grad_loss,
                                        Tensor& grad_logits) {
  constexpr const char* kOp = "cross_entropy_backward";
  checks::require_loss_gradients(kOp, logits, lse, grad_loss, grad_logits);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  checks::require_ids(kOp, "targets", targets, rows, -1, columns);
  const auto *log_total = lse.data<float>(), *grad = grad_loss.data<float>();
  const auto* target = targets.data<int32_t>();
  visit_data(logits.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T* x = logits.data<T>();
    T* dx = grad_logits.data<T>();
    parallel_parts(rows, rows_per_part(columns), [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        T* to = dx + r * columns;
        if (target[r] < 0) {
          std::fill_n(to, columns, T());
        } else {
          on_data.softmax_gradient(x + r * columns, target[r], log_total[r], grad[r], to, columns);
        }
      }
    });
  });
}

namespace {

void require_soft_targets(const char* op, const SoftTargets& targets, int64_t rows,
                          int64_t columns) {
  checks::require_soft_targets(op, targets, rows);
  const int64_t count = targets.labels.numel();
  checks::require_ids(op, "labels", targets.labels.view({count}), count, 0, columns);
}

cpu::SoftTargetRow target_row(const SoftTargets& targets, int64_t row, int64_t columns) {
  const int64_t labels = targets.labels.dim(1);
  return {.label = targets.labels.data<int32_t>() + row * labels,
          .weight = targets.weights.data<float>() + row * labels,
          .labels = labels,
          .base = static_cast<float>(targets.smoothing / static_cast<double>(columns)),
          .labelled = static_cast<float>(1.0 - targets.smoothing)};
}

}  // namespace

void CpuBackend::soft_cross_entropy(const Tensor& logits, const SoftTargets& targets, Tensor& loss,
                                    Tensor& lse) {
  constexpr const char* kOp = "soft_cross_entropy";
  checks::require_losses(kOp, logits, loss, lse);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  require_soft_targets(kOp, targets, rows, columns);
  float *nats = loss.data<float>(), *log_total = lse.data<float>();
  visit_data(logits.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T* x = logits.data<T>();
    parallel_parts(rows, rows_per_part(columns), [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const T* row = x + r * columns;
        const cpu::SoftTargetRow target = target_row(targets, r, columns);
        float wanted = 0.0f;  // Σ_v p_v·logits[v]
        for (int64_t k = 0; k < target.labels; ++k) {
          wanted += target.weight[k] * static_cast<float>(row[target.label[k]]);
        }
        wanted *= target.labelled;
        if (target.base > 0) wanted += target.base * static_cast<float>(on_data.sum(row, columns));
        log_total[r] = on_data.log_sum_exp(row, columns);
        nats[r] = log_total[r] - wanted;
      }
    });
  });
}

void CpuBackend::soft_cross_entropy_backward(const Tensor& logits, const SoftTargets& targets,
                                             const Tensor& lse, const Tensor& grad_loss,
                                             Tensor& grad_logits) {
  constexpr const char* kOp = "soft_cross_entropy_backward";
  checks::require_loss_gradients(kOp, logits, lse, grad_loss, grad_logits);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  require_soft_targets(kOp, targets, rows, columns);
  const auto *log_total = lse.data<float>(), *grad = grad_loss.data<float>();
  const cpu::ThreadScratch scratch(targets.labels.dim(1) * int64_t{sizeof(float)});
  visit_data(logits.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T* x = logits.data<T>();
    T* dx = grad_logits.data<T>();
    parallel_parts(rows, rows_per_part(columns), [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        on_data.soft_target_gradient(x + r * columns, target_row(targets, r, columns), log_total[r],
                                     grad[r], dx + r * columns, columns,
                                     static_cast<float*>(scratch.of_thread()));
      }
    });
  });
}

}  // namespace ssa
