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
  SSA_CHECK(tensor.dtype() == dtype,
            "{}: {} is {}, but the cpu backend wants {} here; use train.precision: fp32 or "
            "--device reference",
            op, label, name(tensor.dtype()), name(dtype));
  SSA_CHECK(tensor.shape() == shape, "{}: {} has shape {} instead of {}", op, label,
            to_string(tensor.shape()), to_string(shape));
}

/// The same, and contiguous.
inline void require_packed(std::string_view op, const Named& argument, DType dtype,
                           const Shape& shape) {
  require(op, argument, dtype, shape);
  SSA_CHECK(argument.tensor.is_contiguous(), "{}: {} is not contiguous", op, argument.name);
}

/// f32 tensors of one shape, contiguous.
inline void require_alike(std::string_view op, std::initializer_list<Named> arguments) {
  for (const Named& argument : arguments) {
    require_packed(op, argument, DType::f32, arguments.begin()->tensor.shape());
  }
}

inline void require_rank(std::string_view op, const Named& argument, int rank) {
  SSA_CHECK(argument.tensor.defined(), "{}: {} is not given", op, argument.name);
  SSA_CHECK(argument.tensor.rank() == rank, "{}: {} has shape {}, but {} axes are wanted", op,
            argument.name, to_string(argument.tensor.shape()), rank);
}

}  // namespace ssa::cpu
