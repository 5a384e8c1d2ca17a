// Primitives on the rows of a matrix: column sums, layer norm, embedding, cross-entropy.

#include <algorithm>

#include "backend/cpu/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"

namespace ssa {

using cpu::kernels;
using cpu::parallel_items;
using cpu::parallel_parts;
using cpu::require_packed;
using cpu::require_rank;

namespace {

/// Rows of a matrix that are summed by one thread: enough to be worth it, and at most kMostSums
/// partial sums. A function of the shape alone, so that results do not depend on the threads.
constexpr int64_t kMostSums = 64;
int64_t rows_a_sum(int64_t rows) {
  return std::max<int64_t>(64, (rows + kMostSums - 1) / kMostSums);
}

/// Rows of this many columns that make a part of about kPart elements.
int64_t rows_a_part(int64_t columns) {
  return std::max<int64_t>(1, cpu::kPart / std::max<int64_t>(1, columns));
}

/// (parts, columns) zeros for partial sums.
Tensor partial_sums(int64_t parts, int64_t columns) {
  return Tensor::zeros({parts, columns}, DType::f32, Device::cpu, MemoryCategory::workspace);
}

}  // namespace

void CpuBackend::column_sum(const Tensor& in, Tensor& out, bool accumulate) {
  require_rank("column_sum", {"in", in}, 2);
  const int64_t rows = in.dim(0), columns = in.dim(1), part = rows_a_sum(rows);
  require_packed("column_sum", {"in", in}, DType::f32, in.shape());
  require_packed("column_sum", {"out", out}, DType::f32, {columns});
  const int64_t parts = (rows + part - 1) / part;
  Tensor sums = partial_sums(parts, columns);
  const auto* x = in.data<float>();
  auto* partial = sums.data<float>();
  parallel_parts(rows, part, [&](int64_t first, int64_t count) {
    kernels().add_rows(x + first * columns, count, columns, partial + first / part * columns);
  });
  if (!accumulate) std::fill_n(out.data<float>(), columns, 0.0f);
  kernels().add_rows(partial, parts, columns, out.data<float>());
}

void CpuBackend::layer_norm(const Tensor& in, const Tensor& gain, const Tensor& shift, double eps,
                            Tensor& out, Tensor& mean, Tensor& rstd) {
  require_rank("layer_norm", {"in", in}, 2);
  const int64_t rows = in.dim(0), columns = in.dim(1);
  cpu::require_alike("layer_norm", {{"in", in}, {"out", out}});
  for (const cpu::Named& argument : {cpu::Named{"gain", gain}, cpu::Named{"shift", shift}}) {
    require_packed("layer_norm", argument, DType::f32, {columns});
  }
  require_packed("layer_norm", {"mean", mean}, DType::f32, {rows});
  require_packed("layer_norm", {"rstd", rstd}, DType::f32, {rows});
  const float *x = in.data<float>(), *scale = gain.data<float>(), *offset = shift.data<float>();
  float *y = out.data<float>(), *mu = mean.data<float>(), *inverse = rstd.data<float>();
  parallel_parts(rows, rows_a_part(columns), [&](int64_t first, int64_t count) {
    kernels().layer_norm(x + first * columns, scale, offset, static_cast<float>(eps), count,
                         columns, y + first * columns, mu + first, inverse + first);
  });
}

void CpuBackend::layer_norm_backward(const Tensor& in, const Tensor& gain, const Tensor& mean,
                                     const Tensor& rstd, const Tensor& grad_out, Tensor& grad_in,
                                     Tensor& grad_gain, Tensor& grad_shift) {
  constexpr const char* kOp = "layer_norm_backward";
  require_rank(kOp, {"in", in}, 2);
  const int64_t rows = in.dim(0), columns = in.dim(1), part = rows_a_sum(rows);
  cpu::require_alike(kOp, {{"in", in}, {"grad_out", grad_out}, {"grad_in", grad_in}});
  require_packed(kOp, {"gain", gain}, DType::f32, {columns});
  require_packed(kOp, {"grad_gain", grad_gain}, DType::f32, {columns});
  require_packed(kOp, {"grad_shift", grad_shift}, DType::f32, {columns});
  require_packed(kOp, {"mean", mean}, DType::f32, {rows});
  require_packed(kOp, {"rstd", rstd}, DType::f32, {rows});
  const int64_t parts = (rows + part - 1) / part;
  Tensor gain_sums = partial_sums(parts, columns), shift_sums = partial_sums(parts, columns);
  const float *x = in.data<float>(), *scale = gain.data<float>(), *dy = grad_out.data<float>();
  const float *mu = mean.data<float>(), *inverse = rstd.data<float>();
  float* dx = grad_in.data<float>();
  float *to_gain = gain_sums.data<float>(), *to_shift = shift_sums.data<float>();
  parallel_parts(rows, part, [&](int64_t first, int64_t count) {
    const int64_t begin = first * columns, sums = first / part * columns;
    kernels().layer_norm_backward(x + begin, scale, mu + first, inverse + first, dy + begin, count,
                                  columns, dx + begin, to_gain + sums, to_shift + sums);
  });
  kernels().add_rows(to_gain, parts, columns, grad_gain.data<float>());
  kernels().add_rows(to_shift, parts, columns, grad_shift.data<float>());
}

namespace {

/// Throws ShapeError on an id outside lowest … rows-1.
void require_ids(std::string_view op, std::string_view label, const Tensor& ids, int64_t count,
                 int64_t lowest, int64_t rows) {
  require_packed(op, {label, ids}, DType::i32, {count});
  const auto* id = ids.data<int32_t>();
  for (int64_t r = 0; r < count; ++r) {
    SSA_CHECK(id[r] >= lowest && id[r] < rows, "{}: {} has {} at {}, outside {} … {}", op, label,
              id[r], r, lowest, rows - 1);
  }
}

}  // namespace

void CpuBackend::embedding(const Tensor& table, const Tensor& ids, double factor, Tensor& out) {
  require_rank("embedding", {"table", table}, 2);
  require_rank("embedding", {"out", out}, 2);
  const int64_t rows = out.dim(0), columns = table.dim(1);
  require_packed("embedding", {"table", table}, DType::f32, table.shape());
  require_packed("embedding", {"out", out}, DType::f32, {rows, columns});
  require_ids("embedding", "ids", ids, rows, 0, table.dim(0));
  const auto* from = table.data<float>();
  const auto* id = ids.data<int32_t>();
  auto* to = out.data<float>();
  parallel_parts(rows, rows_a_part(columns), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      kernels().scale(from + id[r] * columns, static_cast<float>(factor), to + r * columns,
                      columns);
    }
  });
}

// Every thread goes through all the rows in order, for columns of its own.
void CpuBackend::embedding_backward(const Tensor& ids, double factor, const Tensor& grad_out,
                                    Tensor& grad_table) {
  constexpr int64_t kColumns = 64;
  require_rank("embedding_backward", {"grad_table", grad_table}, 2);
  require_rank("embedding_backward", {"grad_out", grad_out}, 2);
  const int64_t rows = grad_out.dim(0), columns = grad_table.dim(1);
  require_packed("embedding_backward", {"grad_table", grad_table}, DType::f32, grad_table.shape());
  require_packed("embedding_backward", {"grad_out", grad_out}, DType::f32, {rows, columns});
  require_ids("embedding_backward", "ids", ids, rows, 0, grad_table.dim(0));
  const auto* id = ids.data<int32_t>();
  const auto* from = grad_out.data<float>();
  auto* to = grad_table.data<float>();
  parallel_parts(columns, kColumns, [&](int64_t first, int64_t count) {
    for (int64_t r = 0; r < rows; ++r) {
      kernels().add_scaled(from + r * columns + first, static_cast<float>(factor),
                           to + id[r] * columns + first, count);
    }
  });
}

void CpuBackend::cross_entropy(const Tensor& logits, const Tensor& targets, Tensor& loss,
                               Tensor& lse) {
  require_rank("cross_entropy", {"logits", logits}, 2);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  require_packed("cross_entropy", {"logits", logits}, DType::f32, logits.shape());
  require_packed("cross_entropy", {"loss", loss}, DType::f32, {rows});
  require_packed("cross_entropy", {"lse", lse}, DType::f32, {rows});
  require_ids("cross_entropy", "targets", targets, rows, -1, columns);
  const auto* x = logits.data<float>();
  const auto* target = targets.data<int32_t>();
  float *nats = loss.data<float>(), *log_total = lse.data<float>();
  parallel_parts(rows, rows_a_part(columns), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      log_total[r] = kernels().log_sum_exp(x + r * columns, columns);
      nats[r] = target[r] < 0 ? 0.0f : log_total[r] - x[r * columns + target[r]];
    }
  });
}

void CpuBackend::cross_entropy_backward(const Tensor& logits, const Tensor& targets,
                                        const Tensor& lse, const Tensor& grad_loss,
                                        Tensor& grad_logits) {
  constexpr const char* kOp = "cross_entropy_backward";
  require_rank(kOp, {"logits", logits}, 2);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  cpu::require_alike(kOp, {{"logits", logits}, {"grad_logits", grad_logits}});
  require_packed(kOp, {"lse", lse}, DType::f32, {rows});
  require_packed(kOp, {"grad_loss", grad_loss}, DType::f32, {rows});
  require_ids(kOp, "targets", targets, rows, -1, columns);
  const float *x = logits.data<float>(), *log_total = lse.data<float>();
  const auto* grad = grad_loss.data<float>();
  const auto* target = targets.data<int32_t>();
  auto* dx = grad_logits.data<float>();
  parallel_parts(rows, rows_a_part(columns), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      float* to = dx + r * columns;
      if (target[r] < 0) {
        std::fill_n(to, columns, 0.0f);
        continue;
      }
      kernels().scaled_softmax(x + r * columns, log_total[r], grad[r], to, columns);
      to[target[r]] -= grad[r];
    }
  });
}

}  // namespace ssa
