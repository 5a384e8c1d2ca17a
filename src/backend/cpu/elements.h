#pragma once

#include "ssa/core/dtype.h"

#include "backend/cpu/kernels/kernels.h"

namespace ssa::cpu {

/// Calls f(TypeTag<T>{}, kernels for T), where T is the C++ type of this dtype. The dtype has
/// passed require_data() of checks.h.
template <class F>
void visit_data(DType dtype, F&& f) {
  if (dtype == DType::bf16) return f(TypeTag<BFloat16>{}, kernels().bf16);
  f(TypeTag<float>{}, kernels().f32);
}

}  // namespace ssa::cpu
