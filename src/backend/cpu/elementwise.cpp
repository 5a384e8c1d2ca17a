// Elementwise primitives, gathered rows, and sums of all elements.

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dropout_stream.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"

namespace ssa {

using checks::require_alike;
using checks::require_data;
using cpu::kPart;
using cpu::parallel_parts;
using cpu::visit_data;

void CpuBackend::add(const Tensor& a, const Tensor& b, Tensor& out) {
  require_data("add", {{"a", a}, {"b", b}, {"out", out}});
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T *x = a.data<T>(), *y = b.data<T>();
    T* z = out.data<T>();
    parallel_parts(out.numel(), kPart,
                   [&](int64_t i, int64_t count) { kernels.add(x + i, y + i, z + i, count); });
  });
}

void CpuBackend::scale(const Tensor& in, double factor, Tensor& out) {
  require_data("scale", {{"in", in}, {"out", out}});
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T* x = in.data<T>();
    T* y = out.data<T>();
    parallel_parts(out.numel(), kPart, [&](int64_t i, int64_t count) {
      kernels.scale(x + i, static_cast<float>(factor), y + i, count);
    });
  });
}

void CpuBackend::absolute_error(const Tensor& prediction, const Tensor& target, Tensor& loss) {
  require_alike("absolute_error", {{"prediction", prediction}, {"target", target}, {"loss", loss}});
  const float *x = prediction.data<float>(), *wanted = target.data<float>();
  auto* y = loss.data<float>();
  parallel_parts(loss.numel(), kPart, [&](int64_t i, int64_t count) {
    cpu::kernels().absolute_error(x + i, wanted + i, y + i, count);
  });
}

void CpuBackend::absolute_error_backward(const Tensor& prediction, const Tensor& target,
                                         const Tensor& grad_loss, Tensor& grad_prediction) {
  require_alike("absolute_error_backward", {{"prediction", prediction},
                                            {"target", target},
                                            {"grad_loss", grad_loss},
                                            {"grad_prediction", grad_prediction}});
  const float *x = prediction.data<float>(), *wanted = target.data<float>();
  const auto* dy = grad_loss.data<float>();
  auto* dx = grad_prediction.data<float>();
  parallel_parts(grad_prediction.numel(), kPart, [&](int64_t i, int64_t count) {
    cpu::kernels().absolute_error_backward(x + i, wanted + i, dy + i, dx + i, count);
  });
}

namespace {

cpu::ActivationKind kernel_kind(Activation kind) {
  switch (kind) {
    case Activation::gelu:
      return cpu::ActivationKind::gelu;
    case Activation::gelu_tanh:
      return cpu::ActivationKind::gelu_tanh;
    case Activation::relu:
      return cpu::ActivationKind::relu;
    case Activation::elu:
      return cpu::ActivationKind::elu;
  }
  throw ShapeError("activation: unknown kind {}", static_cast<int>(kind));
}

}  // namespace

void CpuBackend::activation(Activation kind, const Tensor& in, Tensor& out) {
  require_data("activation", {{"in", in}, {"out", out}});
  const cpu::ActivationKind chosen = kernel_kind(kind);
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T* x = in.data<T>();
    T* y = out.data<T>();
    parallel_parts(out.numel(), kPart, [&](int64_t i, int64_t count) {
      kernels.activation(chosen, x + i, y + i, count);
    });
  });
}

void CpuBackend::activation_backward(Activation kind, const Tensor& in, const Tensor& grad_out,
                                     Tensor& grad_in, Tensor& out) {
  constexpr const char* kOp = "activation_backward";
  require_data(kOp, {{"in", in}, {"grad_out", grad_out}, {"grad_in", grad_in}});
  if (out.defined()) require_data(kOp, {{"in", in}, {"out", out}});
  const cpu::ActivationKind chosen = kernel_kind(kind);
  visit_data(in.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T *x = in.data<T>(), *dy = grad_out.data<T>();
    T *dx = grad_in.data<T>(), *y = out.defined() ? out.data<T>() : nullptr;
    parallel_parts(in.numel(), kPart, [&](int64_t i, int64_t count) {
      kernels.activation_backward(chosen, x + i, dy + i, dx + i, y ? y + i : nullptr, count);
    });
  });
}

namespace {

/// Dropout with one decision per `group` elements. A thread's part may begin and end inside a
/// group.
void drop_groups(const Dropout& dropout, const Tensor& in, const Tensor& residual, Tensor& out) {
  checks::require_dropout("dropout", dropout);
  const auto keep_scale = static_cast<float>(1.0 / (1.0 - dropout.probability));
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T *x = in.data<T>(), *base = residual.defined() ? residual.data<T>() : nullptr;
    T* y = out.data<T>();
    parallel_parts(out.numel(), kPart, [&](int64_t i, int64_t count) {
      for (const int64_t end = i + count; i < end;) {
        const int64_t length = std::min(end - i, dropout.group - i % dropout.group);
        const float factor = dropout.keeps(static_cast<uint64_t>(i)) ? keep_scale : 0.0f;
        kernels.scale_or_drop(x + i, factor, base ? base + i : nullptr, y + i, length);
        i += length;
      }
    });
  });
}

}  // namespace

void CpuBackend::dropout(const Dropout& dropout, const Tensor& in, const Tensor& residual,
                         Tensor& out) {
  require_data("dropout", {{"in", in}, {"out", out}});
  if (residual.defined()) require_data("dropout", {{"in", in}, {"residual", residual}});
  if (dropout.group != 1) return drop_groups(dropout, in, residual, out);
  const cpu::DropoutStream stream = cpu::dropout_stream("dropout", dropout);
  visit_data(out.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T *x = in.data<T>(), *base = residual.defined() ? residual.data<T>() : nullptr;
    T* y = out.data<T>();
    parallel_parts(out.numel(), kPart, [&](int64_t i, int64_t count) {
      kernels.dropout(stream, i, x + i, base ? base + i : nullptr, y + i, count);
    });
  });
}

namespace {

/// `all` (B, R, N), `some` (B, S, N) and rows (S) with values in 0 … R-1.
void require_gathering(const checks::Op& op, const checks::Named& all, const checks::Named& some,
                       const Tensor& rows) {
  checks::require_rank(op, all, 3);
  checks::require_rank(op, {"rows", rows}, 1);
  require_data(op, {all});
  const Shape& shape = all.tensor.shape();
  checks::require_packed(op, some, all.tensor.dtype(), {shape[0], rows.dim(0), shape[2]});
  checks::require_ids(op, "rows", rows, rows.dim(0), 0, shape[1]);
}

}  // namespace

void CpuBackend::gather_rows(const Tensor& in, const Tensor& rows, Tensor& out) {
  require_gathering("gather_rows", {"in", in}, {"out", out}, rows);
  const int64_t length = in.dim(1), picked = rows.dim(0);
  const int64_t bytes = in.dim(2) * static_cast<int64_t>(size_of(in.dtype()));
  const auto* row = rows.data<int32_t>();
  const std::byte* from = in.raw();
  std::byte* to = out.raw();
  parallel_parts(in.dim(0) * picked, cpu::rows_per_part(in.dim(2)), [&](int64_t i, int64_t count) {
    for (int64_t end = i + count; i < end; ++i) {
      std::memcpy(to + i * bytes, from + (i / picked * length + row[i % picked]) * bytes,
                  static_cast<size_t>(bytes));
    }
  });
}

void CpuBackend::gather_rows_backward(const Tensor& rows, const Tensor& grad_out, Tensor& grad_in) {
  require_gathering("gather_rows_backward", {"grad_in", grad_in}, {"grad_out", grad_out}, rows);
  const int64_t length = grad_in.dim(1), width = grad_in.dim(2), picked = rows.dim(0);
  const auto* row = rows.data<int32_t>();
  visit_data(grad_in.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    const T* from = grad_out.data<T>();
    T* to = grad_in.data<T>();
    parallel_parts(grad_in.dim(0) * picked, cpu::rows_per_part(width),
                   [&](int64_t i, int64_t count) {
                     for (int64_t end = i + count; i < end; ++i) {
                       T* sum = to + (i / picked * length + row[i % picked]) * width;
                       kernels.add(sum, from + i * width, sum, width);
                     }
                   });
  });
}

namespace {

/// Sums each part of kPart elements, then adds up the parts in order.
template <class T, class F>
double sum_parts(const Tensor& in, F&& sum_part) {
  const T* x = in.data<T>();
  const int64_t count = (in.numel() + kPart - 1) / kPart;
  Tensor parts = Tensor::empty({count}, DType::f64, Device::cpu, MemoryCategory::workspace);
  auto* sums = parts.data<double>();
  parallel_parts(in.numel(), kPart,
                 [&](int64_t i, int64_t length) { sums[i / kPart] = sum_part(x + i, length); });
  double total = 0;
  for (int64_t part = 0; part < count; ++part) total += sums[part];
  return total;
}

}  // namespace

double CpuBackend::sum_squares(const std::vector<Tensor>& in) {
  double total = 0;
  for (const Tensor& tensor : in) {
    require_data("sum_squares", {{"in", tensor}});
    visit_data(tensor.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
      total += sum_parts<T>(tensor, kernels.sum_squares);
    });
  }
  return total;
}

double CpuBackend::sum(const Tensor& in) {
  require_data("sum", {{"in", in}});
  double total = 0;
  visit_data(in.dtype(), [&]<class T>(TypeTag<T>, const auto& kernels) {
    total = sum_parts<T>(in, kernels.sum);
  });
  return total;
}

}  // namespace ssa
