#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable dropout(const Variable& x, const Dropout& dropout, const Variable& residual) {
  if (!dropout.active()) return residual.defined() ? add(residual, x) : x;
  SSA_CHECK(dropout.probability < 1.0, "dropout: probability {} is not below 1",
            dropout.probability);
  SSA_CHECK(dropout.group >= 1, "dropout: dropout in groups of {} elements", dropout.group);
  if (residual.defined()) {
    check_same_kind("dropout", x.value(), residual.value());
    check_shape("dropout", "the residual", residual.value(), x.shape());
  }
  Tensor out = Tensor::empty_like(x.value());
  backend(out.device()).dropout(dropout, x.value(), residual.value(), out);
  return Variable::record(
      out, {x, residual},
      [dropout, to_x = x.slot(), to_residual = residual.slot()](const Tensor& grad) {
        if (to_x.wanted()) {
          Tensor grad_x = Tensor::empty_like(grad);
          backend(grad.device()).dropout(dropout, grad, Tensor(), grad_x);
          to_x.accumulate(grad_x);
        }
        to_residual.accumulate(grad);
      });
}

}  // namespace ssa::ops
