#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable gather_rows(const Variable& x, int64_t batch, const Tensor& rows) {
  check_rank("gather_rows", "x", x.value(), 2);
  check_rank("gather_rows", "rows", rows, 1);
  check_integers("gather_rows", "rows", rows);
  SSA_CHECK(batch > 0 && x.dim(0) % batch == 0, "gather_rows: {} do not divide into {} sequences",
            to_string(x.shape()), batch);
  const int64_t length = x.dim(0) / batch, width = x.dim(1), taken = rows.dim(0);
  Tensor out = Tensor::empty({batch * taken, width}, x.value().dtype(), x.value().device());
  Tensor to = out.view({batch, taken, width});
  backend(out.device()).gather_rows(x.value().view({batch, length, width}), rows, to);
  return Variable::record(
      out, {x}, [batch, length, width, rows, to_x = x.slot()](const Tensor& grad) {
        Tensor target = to_x.zeroed_target().view({batch, length, width});
        backend(grad.device())
            .gather_rows_backward(rows, grad.view({batch, rows.dim(0), width}), target);
      });
}

}  // namespace ssa::ops
