#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable add(const Variable& a, const Variable& b) {
  check_same_kind("add", a.value(), b.value());
  check_shape("add", "the second operand", b.value(), a.shape());
  Tensor out = Tensor::empty_like(a.value());
  backend(out.device()).add(a.value(), b.value(), out);
  return Variable::record(out, {a, b}, [to_a = a.slot(), to_b = b.slot()](const Tensor& grad) {
    to_a.accumulate(grad);
    to_b.accumulate(grad);
  });
}

}  // namespace ssa::ops
