#include <vector>

#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

// Adds a different number to each row by a product whose inner axis has length 1.
void log_softmax(Tensor& logits, const Tensor& offset) {
  check_rank("log_softmax", "logits", logits, 2);
  const int64_t rows = logits.dim(0), columns = logits.dim(1);
  const DType dtype = logits.dtype();
  const Device device = logits.device();
  Backend& compute = backend(device);
  Tensor shift = Tensor::empty({rows}, dtype, device), unused = Tensor::empty_like(shift);
  const Tensor none = Tensor::from(std::vector<int32_t>(static_cast<size_t>(rows), -1), {rows},
                                   device, MemoryCategory::workspace);
  compute.cross_entropy(logits, none, unused, shift);
  compute.scale(shift, -1.0, shift);
  if (offset.defined()) {
    check_shape("log_softmax", "the offset", offset, {rows});
    compute.add(shift, offset, shift);
  }
  Tensor ones = Tensor::empty({1, columns}, dtype, device);
  compute.fill(ones, 1.0);
  compute.matmul({.a = shift.view({rows, 1}), .b = ones, .out = logits, .accumulate = true});
}

}  // namespace ssa::ops
