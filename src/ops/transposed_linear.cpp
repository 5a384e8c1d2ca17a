#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable transposed_linear(const Variable& x, const PackedWeights& weight) {
  constexpr const char* kOp = "transposed_linear";
  SSA_CHECK(weight.parts().size() == 1, "{}: {} weights", kOp, weight.parts().size());
  const Variable& matrix = weight.parts().front();
  check_rank(kOp, "x", x.value(), 2);
  check_rank(kOp, "the weight", matrix.value(), 2);
  check_parameter(kOp, "the weight", matrix.value(), x.value());
  check_shape(kOp, "the weight", matrix.value(), {x.dim(1), matrix.dim(1)});
  const DType data = x.value().dtype();
  Tensor out = Tensor::empty({x.dim(0), weight.in()}, data, x.value().device());
  backend(out.device()).matmul({.a = x.value(), .packed_b = weight.plain(data), .out = out});
  return Variable::record(
      out, {x, matrix},
      [in = x.value(), weight, to_x = x.slot(), to_weight = matrix.slot()](const Tensor& grad) {
        Backend& compute = backend(grad.device());
        if (to_weight.wanted()) {  // dW = Xᵀ · dY
          const auto [target, accumulate] = to_weight.target();
          compute.matmul(
              {.a = in, .b = grad, .transpose_a = true, .out = target, .accumulate = accumulate});
        }
        if (to_x.wanted()) {  // dX = dY · Wᵀ
          const auto [target, accumulate] = to_x.target();
          compute.matmul({.a = grad,
                          .packed_b = weight.transposed(grad.dtype()),
                          .out = target,
                          .accumulate = accumulate});
        }
      });
}

}  // namespace ssa::ops
