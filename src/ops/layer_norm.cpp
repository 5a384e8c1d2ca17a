#include "ops/layer_norm.h"

#include "ops/checks.h"

namespace ssa::ops {

void check_norm(const char* op, const Tensor& x, const Tensor& gain, const Tensor& shift) {
  check_rank(op, "x", x, 2);
  check_parameter(op, "the gain", gain, x);
  check_parameter(op, "the shift", shift, x);
  check_shape(op, "the gain", gain, {x.dim(1)});
  check_shape(op, "the shift", shift, {x.dim(1)});
}

void norm_backward(LayerNormBackwardArgs args, const GradSlot& to_x, const GradSlot& to_gain,
                   const GradSlot& to_shift) {
  if (to_x.wanted()) {
    const auto [target, accumulate] = to_x.target();
    args.grad_in = target;
    args.accumulate = accumulate;
  } else {
    args.grad_in = Tensor::empty_like(args.in);
  }
  const auto sums = [&](const GradSlot& slot) {
    return slot.wanted() ? slot.zeroed_target()
                         : Tensor::zeros(args.gain.shape(), args.gain.dtype(), args.gain.device());
  };
  args.grad_gain = sums(to_gain);
  // Gain and shift may be the same variable.
  args.grad_shift = to_gain.wanted() && to_shift == to_gain ? args.grad_gain : sums(to_shift);
  backend(args.in.device()).layer_norm_backward(args);
}

Variable layer_norm(const Variable& x, const Variable& gain, const Variable& shift, double eps) {
  check_norm("layer_norm", x.value(), gain.value(), shift.value());
  const Device device = x.value().device();
  const DType statistics = wide(x.value().dtype());
  Tensor out = Tensor::empty_like(x.value());
  Tensor mean = Tensor::empty({x.dim(0)}, statistics, device);
  Tensor rstd = Tensor::empty({x.dim(0)}, statistics, device);
  backend(device).layer_norm(x.value(), gain.value(), shift.value(), eps, out, mean, rstd);
  return Variable::record(out, {x, gain, shift},
                          [in = x.value(), g = gain.value(), mean, rstd, to_x = x.slot(),
                           to_gain = gain.slot(), to_shift = shift.slot()](const Tensor& grad) {
                            norm_backward(
                                {.in = in, .gain = g, .mean = mean, .rstd = rstd, .grad_out = grad},
                                to_x, to_gain, to_shift);
                          });
}

}  // namespace ssa::ops
