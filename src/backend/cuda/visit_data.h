#pragma once

#include "ssa/core/dtype.h"

namespace ssa::cuda {

/// Calls f(TypeTag<T>{}) with the C++ type of a dtype that has passed require_data() of checks.h.
template <class F>
void visit_data(DType dtype, F&& f) {
  if (dtype == DType::bf16) return f(TypeTag<BFloat16>{});
  if (dtype == DType::f16) return f(TypeTag<Float16>{});
  f(TypeTag<float>{});
}

}  // namespace ssa::cuda
