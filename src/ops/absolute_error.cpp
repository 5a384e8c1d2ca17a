#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable absolute_error(const Variable& prediction, const Tensor& target) {
  check_same_kind("absolute_error", prediction.value(), target);
  check_shape("absolute_error", "target", target, prediction.shape());
  SSA_CHECK(target.dtype() == wide(target.dtype()), "absolute_error: {} is not f32 or f64",
            name(target.dtype()));
  Tensor loss = Tensor::empty_like(prediction.value());
  backend(loss.device()).absolute_error(prediction.value(), target, loss);
  return Variable::record(
      loss, {prediction},
      [value = prediction.value(), target, to_prediction = prediction.slot()](const Tensor& grad) {
        Tensor grad_prediction = Tensor::empty_like(value);
        backend(grad.device()).absolute_error_backward(value, target, grad, grad_prediction);
        to_prediction.accumulate(grad_prediction);
      });
}

}  // namespace ssa::ops
