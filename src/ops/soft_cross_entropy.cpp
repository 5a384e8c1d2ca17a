#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable soft_cross_entropy(const Variable& logits, const SoftTargets& targets) {
  constexpr const char* kOp = "soft_cross_entropy";
  check_rank(kOp, "logits", logits.value(), 2);
  check_rank(kOp, "labels", targets.labels, 2);
  const int64_t rows = logits.dim(0);
  check_shape(kOp, "labels", targets.labels, {rows, targets.labels.dim(1)});
  check_integers(kOp, "labels", targets.labels);
  check_shape(kOp, "weights", targets.weights, targets.labels.shape());
  check_parameter(kOp, "weights", targets.weights, logits.value());
  SSA_CHECK(targets.smoothing >= 0 && targets.smoothing <= 1, "{}: smoothing {} is outside [0, 1]",
            kOp, targets.smoothing);
  const Device device = logits.value().device();
  const DType statistics = wide(logits.value().dtype());
  Tensor loss = Tensor::empty({rows}, statistics, device);
  Tensor lse = Tensor::empty({rows}, statistics, device);
  backend(device).soft_cross_entropy(logits.value(), targets, loss, lse);
  return Variable::record(
      loss, {logits},
      [values = logits.value(), targets, lse,
       to_logits = logits.slot()](const Tensor& grad) mutable {
        Tensor grad_logits = values.unique() ? values : Tensor::empty_like(values);
        backend(grad.device()).soft_cross_entropy_backward(values, targets, lse, grad, grad_logits);
        to_logits.accumulate(grad_logits);
      });
}

}  // namespace ssa::ops
