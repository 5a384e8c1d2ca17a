#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable activation(Activation kind, const Variable& x) {
  Tensor out = Tensor::empty_like(x.value());
  backend(out.device()).activation(kind, x.value(), out);
  return Variable::record(out, {x}, [kind, in = x.value(), to_x = x.slot()](const Tensor& grad) {
    Tensor grad_x = Tensor::empty_like(grad);
    Tensor none;
    backend(grad.device()).activation_backward(kind, in, grad, grad_x, none);
    to_x.accumulate(grad_x);
  });
}

}  // namespace ssa::ops
