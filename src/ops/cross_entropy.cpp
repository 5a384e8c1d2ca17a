#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable cross_entropy(const Variable& logits, const Tensor& targets) {
  check_rank("cross_entropy", "logits", logits.value(), 2);
  const int64_t rows = logits.dim(0);
  check_shape("cross_entropy", "targets", targets, {rows});
  check_integers("cross_entropy", "targets", targets);
  const Device device = logits.value().device();
  const DType statistics = wide(logits.value().dtype());
  Tensor loss = Tensor::empty({rows}, statistics, device);
  Tensor lse = Tensor::empty({rows}, statistics, device);
  backend(device).cross_entropy(logits.value(), targets, loss, lse);
  return Variable::record(
      loss, {logits},
      [values = logits.value(), targets, lse,
       to_logits = logits.slot()](const Tensor& grad) mutable {
        // The logits of a large vocabulary are the largest tensor: reuse them for the gradient if
        // possible.
        Tensor grad_logits = values.unique() ? values : Tensor::empty_like(values);
        backend(grad.device()).cross_entropy_backward(values, targets, lse, grad, grad_logits);
        to_logits.accumulate(grad_logits);
      });
}

}  // namespace ssa::ops
