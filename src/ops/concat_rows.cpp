#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable concat_rows(const std::vector<Variable>& parts) {
  SSA_CHECK(!parts.empty(), "concat_rows: no part");
  const Tensor& first = parts.front().value();
  check_rank("concat_rows", "a part", first, 2);
  int64_t rows = 0;
  for (const Variable& part : parts) {
    check_same_kind("concat_rows", part.value(), first);
    check_shape("concat_rows", "a part", part.value(), {part.dim(0), first.dim(1)});
    rows += part.dim(0);
  }
  Tensor out = Tensor::empty({rows, first.dim(1)}, first.dtype(), first.device());
  Backend& compute = backend(first.device());
  struct Slice {
    GradSlot slot;
    int64_t begin, rows;
  };
  std::vector<Slice> slices;
  for (int64_t begin = 0; const Variable& part : parts) {
    Tensor to = out.slice(0, begin, part.dim(0));
    compute.copy(part.value(), to);
    slices.push_back({part.slot(), begin, part.dim(0)});
    begin += part.dim(0);
  }
  return Variable::record(out, parts, [slices](const Tensor& grad) {
    for (const Slice& slice : slices) {
      if (slice.slot.wanted()) slice.slot.accumulate(grad.slice(0, slice.begin, slice.rows));
    }
  });
}

}  // namespace ssa::ops
