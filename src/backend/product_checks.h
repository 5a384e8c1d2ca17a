#pragma once

// Argument checks of matrix products, shared by backends.

#include "ssa/backend/backend.h"

#include "backend/checks.h"

namespace ssa::checks {

/// Extents of a product: (rows, inner) · (inner, columns).
struct Extents {
  int64_t rows, columns, inner;
};

/// Throws ShapeError unless matmul() can do this.
inline Extents require_product(const Op& op, const MatmulArgs& args) {
  const PackedMatrix* packed = args.packed_b.get();
  require_rank(op, {"a", args.a}, 2);
  require_data_dtype(op, {"a", args.a});
  const DType data = args.a.dtype();
  if (packed) {
    SSA_CHECK(packed->dtype() == data, "{}: packed_b was packed for {}, but a is {}", op.name,
              name(packed->dtype()), name(data));
    SSA_CHECK(!args.b.defined() && !args.transpose_b, "{}: both b and packed_b are given", op.name);
  } else {
    require_rank(op, {"b", args.b}, 2);
  }
  const int64_t rows = args.a.dim(args.transpose_a ? 1 : 0);
  const int64_t inner = args.a.dim(args.transpose_a ? 0 : 1);
  const int64_t columns = packed ? packed->columns() : args.b.dim(args.transpose_b ? 0 : 1);
  require_rows(op, {"a", args.a}, data, args.a.shape());
  if (packed) {
    SSA_CHECK(packed->rows() == inner, "{}: packed_b has {} rows instead of {}", op.name,
              packed->rows(), inner);
  } else {
    require_rows(op, {args.transpose_b ? "b (transposed)" : "b", args.b}, data,
                 args.transpose_b ? Shape{columns, inner} : Shape{inner, columns});
  }
  SSA_CHECK(args.out.defined(), "{}: out is not given", op.name);
  const DType out = args.out.dtype() == DType::f32 ? DType::f32 : data;
  require_packed(op, {"out", args.out}, out, {rows, columns});
  if (args.bias.defined()) require_packed(op, {"bias", args.bias}, DType::f32, {columns});
  if (args.residual.defined()) {
    require_rows(op, {"residual", args.residual}, out, {rows, columns});
  }
  SSA_CHECK(rows == 0 || columns == 0 || inner > 0, "{}: a and b share an axis of length 0",
            op.name);
  return {rows, columns, inner};
}

/// Throws ShapeError unless pack() can stack these. Returns (rows, columns) of the result.
inline Shape require_parts(const Op& op, const std::vector<Tensor>& parts, bool transpose) {
  SSA_CHECK(!parts.empty(), "{}: no parts", op.name);
  int64_t stacked = 0;
  for (const Tensor& part : parts) {
    require_rank(op, {"a part", part}, 2);
    require_rows(op, {"a part", part}, DType::f32, {part.dim(0), parts.front().dim(1)});
    stacked += part.dim(0);
  }
  const int64_t rows = transpose ? parts.front().dim(1) : stacked;
  const int64_t columns = transpose ? stacked : parts.front().dim(1);
  SSA_CHECK(rows > 0 && columns > 0, "{}: ({}, {}) holds nothing", op.name, rows, columns);
  return {rows, columns};
}

}  // namespace ssa::checks
