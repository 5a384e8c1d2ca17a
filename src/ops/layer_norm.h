#pragma once

#include "ssa/ops/ops.h"

namespace ssa::ops {

void check_norm(const char* op, const Tensor& x, const Tensor& gain, const Tensor& shift);

/// Layer norm's backward pass into three slots. `args` has everything but the buffers of the
/// gradients.
void norm_backward(LayerNormBackwardArgs args, const GradSlot& to_x, const GradSlot& to_gain,
                   const GradSlot& to_shift);

}  // namespace ssa::ops
