#pragma once

#include <initializer_list>
#include <string_view>

#include "ssa/core/tensor.h"

namespace ssa::checks {

/// A primitive, for error messages, and the device whose tensors it takes.
struct Op {
  std::string_view name;
  Device device = Device::cpu;
  Op(const char* of_cpu) : name(of_cpu) {}  // NOLINT: an op by its name alone is the CPU backend's
  Op(std::string_view op, Device where) : name(op), device(where) {}
  /// Whether its backend can read this tensor. `cpu` and `reference` share the host's memory.
  bool reaches(const Tensor& tensor) const {
    return (tensor.device() == Device::cuda) == (device == Device::cuda);
  }
  bool computes_in(DType dtype) const {
    return dtype == DType::f32 || dtype == DType::bf16 ||
           (dtype == DType::f16 && device == Device::cuda);
  }
};

/// A tensor with its name in error messages.
struct Named {
  std::string_view name;
  const Tensor& tensor;
};

/// Throws ShapeError unless the tensor is defined, on the op's device, and of this dtype and shape.
inline void require(const Op& op, const Named& argument, DType dtype, const Shape& shape) {
  const auto& [label, tensor] = argument;
  SSA_CHECK(tensor.defined(), "{}: {} is not given", op.name, label);
  SSA_CHECK(op.reaches(tensor), "{}: {} is on {}, not on the {}", op.name, label,
            name(tensor.device()), name(op.device));
  SSA_CHECK(tensor.dtype() == dtype, "{}: {} is {}, but the {} backend needs {} here", op.name,
            label, name(tensor.dtype()), name(op.device), name(dtype));
  SSA_CHECK(tensor.shape() == shape, "{}: {} has shape {} instead of {}", op.name, label,
            to_string(tensor.shape()), to_string(shape));
}

/// Like require(), and contiguous.
inline void require_packed(const Op& op, const Named& argument, DType dtype, const Shape& shape) {
  require(op, argument, dtype, shape);
  SSA_CHECK(argument.tensor.is_contiguous(), "{}: {} is not contiguous", op.name, argument.name);
}

/// Throws ShapeError unless the tensor is defined and its dtype is one that this backend computes
/// in.
inline void require_data_dtype(const Op& op, const Named& argument) {
  SSA_CHECK(argument.tensor.defined(), "{}: {} is not given", op.name, argument.name);
  SSA_CHECK(op.computes_in(argument.tensor.dtype()),
            "{}: {} is {}, but the {} backend computes in {}; use train.precision: fp32 or bf16, "
            "or --device reference",
            op.name, argument.name, name(argument.tensor.dtype()), name(op.device),
            op.device == Device::cuda ? "f32, bf16 and f16" : "f32 and bf16");
}

/// Contiguous tensors of one shape and dtype, one that this backend computes in.
inline void require_data(const Op& op, std::initializer_list<Named> arguments) {
  const Named& first = *arguments.begin();
  require_data_dtype(op, first);
  for (const Named& argument : arguments) {
    require_packed(op, argument, first.tensor.dtype(), first.tensor.shape());
  }
}

/// f32 tensors of one shape, contiguous.
inline void require_alike(const Op& op, std::initializer_list<Named> arguments) {
  for (const Named& argument : arguments) {
    require_packed(op, argument, DType::f32, arguments.begin()->tensor.shape());
  }
}

/// (R, N). Each row is contiguous; there may be gaps between rows.
inline void require_rows(const Op& op, const Named& argument, DType dtype, const Shape& shape) {
  require(op, argument, dtype, shape);
  const Tensor& tensor = argument.tensor;
  SSA_CHECK(
      (shape[1] <= 1 || tensor.stride(1) == 1) && (shape[0] <= 1 || tensor.stride(0) >= shape[1]),
      "{}: the rows of {} are not contiguous", op.name, argument.name);
}

/// (…, H, D). Each row of H·D is contiguous; there may be gaps between rows.
inline void require_head_rows(const Op& op, const Named& argument, DType dtype,
                              const Shape& shape) {
  require(op, argument, dtype, shape);
  const Tensor& tensor = argument.tensor;
  const int64_t heads = tensor.dim(-2), head_size = tensor.dim(-1);
  SSA_CHECK(
      (head_size <= 1 || tensor.stride(-1) == 1) && (heads <= 1 || tensor.stride(-2) == head_size),
      "{}: the {}-wide rows of {} must be contiguous", op.name, heads * head_size, argument.name);
}

/// Elements from one such row to the next.
inline int64_t row_stride(const Tensor& rows) {
  return rows.dim(0) > 1 ? rows.stride(0) : rows.dim(1);
}

inline void require_rank(const Op& op, const Named& argument, int rank) {
  SSA_CHECK(argument.tensor.defined(), "{}: {} is not given", op.name, argument.name);
  SSA_CHECK(argument.tensor.rank() == rank, "{}: {} has shape {}, but must have {} axes", op.name,
            argument.name, to_string(argument.tensor.shape()), rank);
}

/// Throws ShapeError if an id is outside lowest … rows-1. The ids are on the host.
inline void require_ids(const Op& op, std::string_view label, const Tensor& ids, int64_t count,
                        int64_t lowest, int64_t rows) {
  require_packed(op, {label, ids}, DType::i32, {count});
  const auto* id = ids.data<int32_t>();
  for (int64_t r = 0; r < count; ++r) {
    SSA_CHECK(id[r] >= lowest && id[r] < rows, "{}: {} has {} at {}, outside {} … {}", op.name,
              label, id[r], r, lowest, rows - 1);
  }
}

}  // namespace ssa::checks
