#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable layer_norm(const Variable& x, const Variable& gain, const Variable& shift, double eps) {
  check_rank("layer_norm", "x", x.value(), 2);
  check_same_kind("layer_norm", x.value(), gain.value());
  check_same_kind("layer_norm", x.value(), shift.value());
  const int64_t rows = x.dim(0), width = x.dim(1);
  check_shape("layer_norm", "the gain", gain.value(), {width});
  check_shape("layer_norm", "the shift", shift.value(), {width});

  const Device device = x.value().device();
  const DType statistics = statistics_dtype(x.value().dtype());
  Tensor out = Tensor::empty_like(x.value());
  Tensor mean = Tensor::empty({rows}, statistics, device);
  Tensor rstd = Tensor::empty({rows}, statistics, device);
  backend(device).layer_norm(x.value(), gain.value(), shift.value(), eps, out, mean, rstd);
  return Variable::record(out, {x, gain, shift},
                          [in = x.value(), g = gain.value(), mean, rstd, to_x = x.slot(),
                           to_gain = gain.slot(), to_shift = shift.slot()](const Tensor& grad) {
                            // Buffers of their own: gain and shift may be one variable, with one
                            // gradient.
                            Tensor grad_x = Tensor::empty_like(in);
                            Tensor grad_gain = Tensor::zeros(g.shape(), g.dtype(), g.device());
                            Tensor grad_shift = Tensor::zeros(g.shape(), g.dtype(), g.device());
                            backend(grad.device())
                                .layer_norm_backward(in, g, mean, rstd, grad, grad_x, grad_gain,
                                                     grad_shift);
                            to_x.accumulate(grad_x);
                            to_gain.accumulate(grad_gain);
                            to_shift.accumulate(grad_shift);
                          });
}

}  // namespace ssa::ops
