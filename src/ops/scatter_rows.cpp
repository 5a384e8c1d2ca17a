#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

namespace {

void check_part(const RowsAt& part, const Tensor& out) {
  const Tensor& rows = part.rows.value();
  check_rank("scatter_rows", "a part", rows, 2);
  check_same_kind("scatter_rows", rows, out);
  check_shape("scatter_rows", "a part", rows, {rows.dim(0), out.dim(1)});
  check_rank("scatter_rows", "places", part.places, 1);
  check_integers("scatter_rows", "places", part.places);
  SSA_CHECK(part.places.dim(0) <= rows.dim(0), "scatter_rows: {} places for {} rows",
            part.places.dim(0), rows.dim(0));
}

/// The rows that have a place, as one sequence.
Tensor placed(const Tensor& rows, int64_t count) {
  return rows.slice(0, 0, count).view({1, count, rows.dim(1)});
}

/// The gradients at a part's places; 0 for rows without a place.
Tensor gathered(const Tensor& grad, const Tensor& places, int64_t rows) {
  const int64_t count = places.dim(0), width = grad.dim(1);
  Backend& compute = backend(grad.device());
  Tensor result = Tensor::empty({rows, width}, grad.dtype(), grad.device());
  if (count < rows) {
    Tensor rest = result.slice(0, count, rows - count);
    compute.fill(rest, 0.0);
  }
  if (count > 0) {
    Tensor to = placed(result, count);
    compute.gather_rows(grad.view({1, grad.dim(0), width}), places, to);
  }
  return result;
}

}  // namespace

Variable scatter_rows(const Variable& base, const std::vector<RowsAt>& parts) {
  check_rank("scatter_rows", "the base", base.value(), 2);
  Backend& compute = backend(base.value().device());
  Tensor out = Tensor::empty_like(base.value());
  compute.copy(base.value(), out);
  Tensor all = out.view({1, out.dim(0), out.dim(1)});
  std::vector<Variable> inputs = {base};
  struct Way {
    GradSlot slot;
    Tensor places;
    int64_t rows;
  };
  std::vector<Way> ways;
  for (const RowsAt& part : parts) {
    check_part(part, out);
    const int64_t count = part.places.dim(0);
    if (count > 0) {
      compute.gather_rows_backward(part.places, placed(part.rows.value(), count), all);
    }
    inputs.push_back(part.rows);
    ways.push_back({part.rows.slot(), part.places, part.rows.dim(0)});
  }
  return Variable::record(out, inputs, [to_base = base.slot(), ways](const Tensor& grad) {
    to_base.accumulate(grad);
    for (const Way& way : ways) {
      if (way.slot.wanted()) way.slot.accumulate(gathered(grad, way.places, way.rows));
    }
  });
}

}  // namespace ssa::ops
