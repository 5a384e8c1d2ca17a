#pragma once

// Argument checks of matrix products, shared by backends.

#include "ssa/backend/backend.h"

#include "backend/checks.h"

namespace ssa::checks {

/// Extents of a product: (rows, inner) · (inner, columns).
struct Extents {
  int64_t rows, columns, inner;
};

/// Throws ShapeError unless these are valid arguments of matmul(). Returns the product's extents.
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

/// Elements from one row of a matrix to the next. The last two axes are rows and columns.
inline int64_t matrix_row_stride(const Tensor& matrices) {
  return matrices.dim(-2) > 1 ? matrices.stride(-2) : matrices.dim(-1);
}

/// Elements from one matrix to the next along a batch axis; 0 if the axis is broadcast.
inline int64_t batch_stride(const Tensor& matrices, int axis) {
  return matrices.dim(axis) > 1 ? matrices.stride(axis) : 0;
}

/// (I, J, rows, columns). Each row is contiguous; there may be gaps between rows.
inline void require_matrices(const Op& op, const Named& argument, DType dtype, const Shape& shape) {
  require(op, argument, dtype, shape);
  const Tensor& tensor = argument.tensor;
  SSA_CHECK(
      (shape[3] <= 1 || tensor.stride(3) == 1) && (shape[2] <= 1 || tensor.stride(2) >= shape[3]),
      "{}: the rows of {} are not contiguous", op.name, argument.name);
}

/// Throws ShapeError unless these are valid arguments of batched_matmul(). Returns the extents of
/// one product.
inline Extents require_batched_product(const Op& op, const BatchedMatmulArgs& args) {
  require_rank(op, {"a", args.a}, 4);
  require_rank(op, {"b", args.b}, 4);
  require_rank(op, {"out", args.out}, 4);
  require_data_dtype(op, {"a", args.a});
  const DType data = args.a.dtype();
  const int64_t outer = args.out.dim(0), inner_batch = args.out.dim(1);
  const int64_t rows = args.a.dim(args.transpose_a ? 3 : 2);
  const int64_t inner = args.a.dim(args.transpose_a ? 2 : 3);
  const int64_t columns = args.b.dim(args.transpose_b ? 2 : 3);
  const auto batch_axis = [](const Tensor& tensor, int axis, int64_t extent) {
    return tensor.dim(axis) == 1 ? 1 : extent;  // one matrix for all
  };
  const auto shape_of = [&](const Tensor& tensor, int64_t height, int64_t width) {
    return Shape{batch_axis(tensor, 0, outer), batch_axis(tensor, 1, inner_batch), height, width};
  };
  require_matrices(
      op, {"a", args.a}, data,
      args.transpose_a ? shape_of(args.a, inner, rows) : shape_of(args.a, rows, inner));
  require_matrices(
      op, {args.transpose_b ? "b (transposed)" : "b", args.b}, data,
      args.transpose_b ? shape_of(args.b, columns, inner) : shape_of(args.b, inner, columns));
  require_matrices(op, {"out", args.out}, args.out.dtype() == DType::f32 ? DType::f32 : data,
                   {outer, inner_batch, rows, columns});
  SSA_CHECK(args.out.numel() == 0 || inner > 0, "{}: a and b share an axis of length 0", op.name);
  return {rows, columns, inner};
}

/// Throws ShapeError unless pack() can stack these parts. Returns (rows, columns) of the result.
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
