#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable embedding(const Variable& table, const Tensor& ids, double factor, DType data) {
  check_rank("embedding", "the table", table.value(), 2);
  check_rank("embedding", "ids", ids, 1);
  check_integers("embedding", "ids", ids);
  Tensor out = Tensor::empty({ids.dim(0), table.dim(1)}, data, table.value().device());
  check_parameter("embedding", "the table", table.value(), out);
  backend(out.device()).embedding(table.value(), ids, factor, out);
  return Variable::record(out, {table}, [ids, factor, to_table = table.slot()](const Tensor& grad) {
    Tensor target = to_table.zeroed_target();
    backend(grad.device()).embedding_backward(ids, factor, grad, target);
  });
}

}  // namespace ssa::ops
