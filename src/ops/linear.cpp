#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  check_rank("linear", "x", x.value(), 2);
  check_rank("linear", "the weight", weight.value(), 2);
  check_same_kind("linear", x.value(), weight.value());
  const int64_t rows = x.dim(0), in = x.dim(1), out_width = weight.dim(0);
  check_shape("linear", "the weight", weight.value(), {out_width, in});
  if (bias.defined()) {
    check_shape("linear", "the bias", bias.value(), {out_width});
    check_same_kind("linear", x.value(), bias.value());
  }

  Tensor out = Tensor::empty({rows, out_width}, x.value().dtype(), x.value().device());
  backend(out.device())
      .matmul({.a = x.value(),
               .b = weight.value(),
               .transpose_b = true,
               .bias = bias.value(),
               .out = out});
  return Variable::record(
      out, {x, weight, bias},
      [x_value = x.value(), w_value = weight.value(), to_x = x.slot(), to_weight = weight.slot(),
       to_bias = bias.slot()](const Tensor& grad) {
        Backend& compute = backend(grad.device());
        if (to_x.wanted()) {  // dX = dY · W
          const auto [target, accumulate] = to_x.target();
          compute.matmul({.a = grad, .b = w_value, .out = target, .accumulate = accumulate});
        }
        if (to_weight.wanted()) {  // dW = dYᵀ · X
          const auto [target, accumulate] = to_weight.target();
          compute.matmul({.a = grad,
                          .b = x_value,
                          .transpose_a = true,
                          .out = target,
                          .accumulate = accumulate});
        }
        if (to_bias.wanted()) {
          auto [target, accumulate] = to_bias.target();
          compute.column_sum(grad, target, accumulate);
        }
      });
}

}  // namespace ssa::ops
