#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable scale(const Variable& x, double factor) {
  Tensor out = Tensor::empty_like(x.value());
  backend(out.device()).scale(x.value(), factor, out);
  return Variable::record(out, {x}, [factor, to_x = x.slot()](const Tensor& grad) {
    Tensor grad_x = Tensor::empty_like(grad);
    backend(grad.device()).scale(grad, factor, grad_x);
    to_x.accumulate(grad_x);
  });
}

}  // namespace ssa::ops
