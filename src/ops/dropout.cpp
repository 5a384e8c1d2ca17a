#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable dropout(const Variable& x, const Dropout& dropout) {
  if (!dropout.active()) return x;
  SSA_CHECK(dropout.probability < 1.0, "dropout: probability {} is not below 1",
            dropout.probability);
  Tensor out = Tensor::empty_like(x.value());
  backend(out.device()).dropout(dropout, x.value(), out);
  return Variable::record(out, {x}, [dropout, to_x = x.slot()](const Tensor& grad) {
    Tensor grad_x = Tensor::empty_like(grad);
    backend(grad.device()).dropout(dropout, grad, grad_x);
    to_x.accumulate(grad_x);
  });
}

}  // namespace ssa::ops
