#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable reshape(const Variable& x, const Shape& shape) {
  SSA_CHECK(shape.numel() == x.value().numel(), "reshape: {} cannot become {}",
            to_string(x.shape()), to_string(shape));
  return Variable::record(x.value().view(shape), {x},
                          [before = x.shape(), to_x = x.slot()](const Tensor& grad) {
                            to_x.accumulate(grad.view(before));
                          });
}

}  // namespace ssa::ops
