#pragma once

#include <string_view>

#include "ssa/autograd/variable.h"
#include "ssa/backend/backend.h"

namespace ssa::ops {

/// Throws ShapeError unless both have the same device and dtype.
inline void check_same_kind(std::string_view op, const Tensor& a, const Tensor& b) {
  SSA_CHECK(a.device() == b.device(), "{}: operands on {} and {}", op, name(a.device()),
            name(b.device()));
  SSA_CHECK(a.dtype() == b.dtype(), "{}: operands of dtype {} and {}", op, name(a.dtype()),
            name(b.dtype()));
}

/// Throws ShapeError unless the parameter is on the device of the activations `x`, in wide(their
/// dtype).
inline void check_parameter(std::string_view op, std::string_view what, const Tensor& parameter,
                            const Tensor& x) {
  SSA_CHECK(parameter.device() == x.device(), "{}: {} is on {}, x on {}", op, what,
            name(parameter.device()), name(x.device()));
  SSA_CHECK(parameter.dtype() == wide(x.dtype()), "{}: {} is {}; for activations in {} it is {}",
            op, what, name(parameter.dtype()), name(x.dtype()), name(wide(x.dtype())));
}

inline void check_shape(std::string_view op, std::string_view what, const Tensor& tensor,
                        const Shape& wanted) {
  SSA_CHECK(tensor.shape() == wanted, "{}: {} is {}, should be {}", op, what,
            to_string(tensor.shape()), to_string(wanted));
}

inline void check_rank(std::string_view op, std::string_view what, const Tensor& tensor, int rank) {
  SSA_CHECK(tensor.rank() == rank, "{}: {} is {}, should have {} axes", op, what,
            to_string(tensor.shape()), rank);
}

/// Throws ShapeError unless the tensor holds i32: ids, targets, plans.
inline void check_integers(std::string_view op, std::string_view what, const Tensor& tensor) {
  SSA_CHECK(tensor.dtype() == DType::i32, "{}: {} is {}, should be i32", op, what,
            name(tensor.dtype()));
}

}  // namespace ssa::ops
