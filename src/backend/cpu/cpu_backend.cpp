// Elementwise primitives, plain reductions and optimizers of the CPU backend.

#include "backend/cpu/cpu_backend.h"

#include <cmath>
#include <vector>

#include <fmt/format.h>
#include <omp.h>

#include "backend/cpu/checks.h"
#include "backend/cpu/dropout_stream.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/onednn_matmul.h"
#include "backend/cpu/parallel.h"

namespace ssa {

using cpu::kernels;
using cpu::kPart;
using cpu::parallel_parts;
using cpu::require_alike;
using cpu::require_packed;

Backend& cpu_backend() {
  static CpuBackend instance;
  return instance;
}

// Not left to the first op: thrown inside a parallel region, the error would end the program.
CpuBackend::CpuBackend() { cpu::kernels_asked_for(); }

std::string CpuBackend::description() const {
  return fmt::format("cpu ({} kernels, SSA_CPU_ISA lowers that; {}; {} threads, f32)",
                     kernels().isa, cpu::onednn_description(), omp_get_max_threads());
}

void CpuBackend::add(const Tensor& a, const Tensor& b, Tensor& out) {
  require_alike("add", {{"a", a}, {"b", b}, {"out", out}});
  const float *x = a.data<float>(), *y = b.data<float>();
  auto* z = out.data<float>();
  parallel_parts(out.numel(), kPart,
                 [&](int64_t i, int64_t count) { kernels().add(x + i, y + i, z + i, count); });
}

void CpuBackend::scale(const Tensor& in, double factor, Tensor& out) {
  require_alike("scale", {{"in", in}, {"out", out}});
  const auto* x = in.data<float>();
  auto* y = out.data<float>();
  parallel_parts(out.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().scale(x + i, static_cast<float>(factor), y + i, count);
  });
}

namespace {

cpu::ActivationKind kernel_kind(Activation kind) {
  switch (kind) {
    case Activation::gelu:
      return cpu::ActivationKind::gelu;
    case Activation::relu:
      return cpu::ActivationKind::relu;
    case Activation::elu:
      return cpu::ActivationKind::elu;
  }
  throw ShapeError("activation: unknown kind {}", static_cast<int>(kind));
}

}  // namespace

void CpuBackend::activation(Activation kind, const Tensor& in, Tensor& out) {
  require_alike("activation", {{"in", in}, {"out", out}});
  const auto* x = in.data<float>();
  auto* y = out.data<float>();
  const cpu::ActivationKind chosen = kernel_kind(kind);
  parallel_parts(out.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().activation(chosen, x + i, y + i, count);
  });
}

void CpuBackend::activation_backward(Activation kind, const Tensor& in, const Tensor& grad_out,
                                     Tensor& grad_in) {
  require_alike("activation_backward", {{"in", in}, {"grad_out", grad_out}, {"grad_in", grad_in}});
  const float *x = in.data<float>(), *dy = grad_out.data<float>();
  auto* dx = grad_in.data<float>();
  const cpu::ActivationKind chosen = kernel_kind(kind);
  parallel_parts(in.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().activation_backward(chosen, x + i, dy + i, dx + i, count);
  });
}

void CpuBackend::dropout(const Dropout& dropout, const Tensor& in, Tensor& out) {
  require_alike("dropout", {{"in", in}, {"out", out}});
  const auto* x = in.data<float>();
  auto* y = out.data<float>();
  const cpu::DropoutStream stream = cpu::dropout_stream("dropout", dropout);
  parallel_parts(out.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().dropout(stream, i, x + i, y + i, count);
  });
}

void CpuBackend::matmul(const MatmulArgs& args) {
  cpu::require_rank("matmul", {"a", args.a}, 2);
  cpu::require_rank("matmul", {"b", args.b}, 2);
  const auto extent = [](const Tensor& tensor, bool transposed, int axis) {
    return tensor.dim(transposed ? 1 - axis : axis);
  };
  const int64_t rows = extent(args.a, args.transpose_a, 0);
  const int64_t inner = extent(args.a, args.transpose_a, 1);
  const int64_t columns = extent(args.b, args.transpose_b, 1);
  Tensor out = args.out;
  require_packed("matmul", {"a", args.a}, DType::f32, args.a.shape());
  require_packed("matmul", {args.transpose_b ? "b (transposed)" : "b", args.b}, DType::f32,
                 args.transpose_b ? Shape{columns, inner} : Shape{inner, columns});
  require_packed("matmul", {"out", out}, DType::f32, {rows, columns});
  if (args.bias.defined()) require_packed("matmul", {"bias", args.bias}, DType::f32, {columns});
  if (rows == 0 || columns == 0) return;
  cpu::onednn_matmul(rows, columns, inner, {args.a.data<float>(), args.a.dim(1), args.transpose_a},
                     {args.b.data<float>(), args.b.dim(1), args.transpose_b},
                     args.bias.defined() ? args.bias.data<float>() : nullptr, args.accumulate,
                     out.data<float>());
}

namespace {

/// Σ over parts of kPart elements, then over the parts in order.
template <class F>
double sum_parts(const Tensor& in, F&& sum_part) {
  const auto* x = in.data<float>();
  std::vector<double> parts(static_cast<size_t>((in.numel() + kPart - 1) / kPart));
  parallel_parts(in.numel(), kPart, [&](int64_t i, int64_t count) {
    parts[static_cast<size_t>(i / kPart)] = sum_part(x + i, count);
  });
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

}  // namespace

double CpuBackend::sum_squares(const Tensor& in) {
  require_alike("sum_squares", {{"in", in}});
  return sum_parts(in, kernels().sum_squares);
}

double CpuBackend::sum(const Tensor& in) {
  require_alike("sum", {{"in", in}});
  return sum_parts(in, kernels().sum);
}

void CpuBackend::adam_step(const AdamArgs& args) {
  Tensor parameter = args.parameter, first = args.first_moment, second = args.second_moment;
  require_alike("adam_step", {{"parameter", parameter},
                              {"gradient", args.gradient},
                              {"first_moment", first},
                              {"second_moment", second}});
  const auto step = static_cast<double>(args.step);
  const auto narrow = [](double value) { return static_cast<float>(value); };
  const cpu::AdamConstants constants{
      .gradient_scale = narrow(args.gradient_scale),
      .coupled_decay = narrow(args.decoupled ? 0.0 : args.weight_decay),
      .decoupled_decay = narrow(args.decoupled ? args.learning_rate * args.weight_decay : 0.0),
      .beta1 = narrow(args.beta1),
      .one_minus_beta1 = narrow(1.0 - args.beta1),
      .beta2 = narrow(args.beta2),
      .one_minus_beta2 = narrow(1.0 - args.beta2),
      .step_size = narrow(args.learning_rate / (1.0 - std::pow(args.beta1, step))),
      .inverse_root_correction = narrow(1.0 / std::sqrt(1.0 - std::pow(args.beta2, step))),
      .eps = narrow(args.eps)};
  const auto* g = args.gradient.data<float>();
  float *p = parameter.data<float>(), *m = first.data<float>(), *v = second.data<float>();
  parallel_parts(parameter.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().adam(constants, g + i, p + i, m + i, v + i, count);
  });
}

void CpuBackend::sgd_step(const SgdArgs& args) {
  Tensor parameter = args.parameter, momentum = args.momentum_buffer;
  require_alike("sgd_step", {{"parameter", parameter}, {"gradient", args.gradient}});
  if (momentum.defined() || args.momentum != 0) {
    require_alike("sgd_step", {{"parameter", parameter}, {"momentum_buffer", momentum}});
  }
  const cpu::SgdConstants constants{.gradient_scale = static_cast<float>(args.gradient_scale),
                                    .weight_decay = static_cast<float>(args.weight_decay),
                                    .momentum = static_cast<float>(args.momentum),
                                    .learning_rate = static_cast<float>(args.learning_rate),
                                    .nesterov = args.nesterov,
                                    .first_step = args.first_step};
  const auto* g = args.gradient.data<float>();
  auto* p = parameter.data<float>();
  auto* buffer = momentum.defined() ? momentum.data<float>() : nullptr;
  parallel_parts(parameter.numel(), kPart, [&](int64_t i, int64_t count) {
    kernels().sgd(constants, g + i, p + i, buffer ? buffer + i : nullptr, count);
  });
}

}  // namespace ssa
