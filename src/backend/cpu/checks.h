#pragma once

#include <initializer_list>
#include <string_view>

#include "ssa/core/tensor.h"

namespace ssa::cpu {

/// A tensor with its name in error messages.
struct Named {
  std::string_view name;
  const Tensor& tensor;
};

/// Throws ShapeError unless the tensor is given, on host memory, and of this dtype and shape.
inline void require(std::string_view op, const Named& argument, DType dtype, const Shape& shape) {
  const auto& [label, tensor] = argument;
  SSA_CHECK(tensor.defined(), "{}: {} is not given", op, label);
  SSA_CHECK(tensor.device() != Device::cuda, "{}: {} is on {}, not on the cpu", op, label,
            name(tensor.device()));
  SSA_CHECK(tensor.dtype() == dtype, "{}: {} is {}, but the cpu backend wants {} here", op, label,
            name(tensor.dtype()), name(dtype));
  SSA_CHECK(tensor.shape() == shape, "{}: {} has shape {} instead of {}", op, label,
            to_string(tensor.shape()), to_string(shape));
}

/// The same, and contiguous.
inline void require_packed(std::string_view op, const Named& argument, DType dtype,
                           const Shape& shape) {
  require(op, argument, dtype, shape);
  SSA_CHECK(argument.tensor.is_contiguous(), "{}: {} is not contiguous", op, argument.name);
}

/// Throws ShapeError unless the tensor is given and in a dtype this backend computes in.
inline void require_data_dtype(std::string_view op, const Named& argument) {
  SSA_CHECK(argument.tensor.defined(), "{}: {} is not given", op, argument.name);
  SSA_CHECK(argument.tensor.dtype() == DType::f32 || argument.tensor.dtype() == DType::bf16,
            "{}: {} is {}, but the cpu backend computes in f32 and bf16; use train.precision: fp32 "
            "or bf16, or --device reference",
            op, argument.name, name(argument.tensor.dtype()));
}

/// Contiguous tensors of one shape and dtype, f32 or bf16.
inline void require_data(std::string_view op, std::initializer_list<Named> arguments) {
  const Named& first = *arguments.begin();
  require_data_dtype(op, first);
  for (const Named& argument : arguments) {
    require_packed(op, argument, first.tensor.dtype(), first.tensor.shape());
  }
}

/// f32 tensors of one shape, contiguous.
inline void require_alike(std::string_view op, std::initializer_list<Named> arguments) {
  for (const Named& argument : arguments) {
    require_packed(op, argument, DType::f32, arguments.begin()->tensor.shape());
  }
}

/// (R, N) whose rows are contiguous, but may have room between them.
inline void require_rows(std::string_view op, const Named& argument, DType dtype,
                         const Shape& shape) {
  require(op, argument, dtype, shape);
  const Tensor& tensor = argument.tensor;
  SSA_CHECK(
      (shape[1] <= 1 || tensor.stride(1) == 1) && (shape[0] <= 1 || tensor.stride(0) >= shape[1]),
      "{}: the rows of {} are not contiguous", op, argument.name);
}
/// The distance of such rows.
inline int64_t row_stride(const Tensor& rows) {
  return rows.dim(0) > 1 ? rows.stride(0) : rows.dim(1);
}

inline void require_rank(std::string_view op, const Named& argument, int rank) {
  SSA_CHECK(argument.tensor.defined(), "{}: {} is not given", op, argument.name);
  SSA_CHECK(argument.tensor.rank() == rank, "{}: {} has shape {}, but {} axes are wanted", op,
            argument.name, to_string(argument.tensor.shape()), rank);
}

/// Throws ShapeError on an id outside lowest … rows-1.
inline void require_ids(std::string_view op, std::string_view label, const Tensor& ids,
                        int64_t count, int64_t lowest, int64_t rows) {
  require_packed(op, {label, ids}, DType::i32, {count});
  const auto* id = ids.data<int32_t>();
  for (int64_t r = 0; r < count; ++r) {
    SSA_CHECK(id[r] >= lowest && id[r] < rows, "{}: {} has {} at {}, outside {} … {}", op, label,
              id[r], r, lowest, rows - 1);
  }
}

}  // namespace ssa::cpu
