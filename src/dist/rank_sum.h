#pragma once

#include <cstdint>
#include <span>

#include "ssa/core/dtype.h"

namespace ssa::dist {

/// out = parts[0] + parts[1] + …, added in this order, so that the result does not depend on which
/// arrived first: `count` scalars each, f32, bf16 or f64. bf16 is added in f32 and rounded once, to
/// nearest even. `out` may be one of the parts. Throws ShapeError for another dtype.
void sum_in_order(DType dtype, std::span<const void* const> parts, void* out, int64_t count);

}  // namespace ssa::dist
