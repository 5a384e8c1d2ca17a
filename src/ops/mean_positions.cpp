#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable mean_positions(const Variable& x, int64_t batch) {
  check_rank("mean_positions", "x", x.value(), 2);
  SSA_CHECK(batch > 0 && x.dim(0) > 0 && x.dim(0) % batch == 0,
            "mean_positions: {} do not divide into {} examples", to_string(x.shape()), batch);
  const int64_t positions = x.dim(0) / batch, width = x.dim(1);
  Tensor out = Tensor::empty({batch, width}, x.value().dtype(), x.value().device());
  backend(out.device()).mean_positions(x.value().view({batch, positions, width}), out);
  return Variable::record(out, {x}, [batch, positions, width, to_x = x.slot()](const Tensor& grad) {
    Tensor grad_x = Tensor::empty({batch, positions, width}, grad.dtype(), grad.device());
    backend(grad.device()).mean_positions_backward(grad, grad_x);
    to_x.accumulate(grad_x.view({batch * positions, width}));
  });
}

}  // namespace ssa::ops
