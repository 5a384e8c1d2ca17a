#pragma once

// The factors of an optimizer step, as the kernels of all backends read them. No inline functions:
// kernels of several CPU instruction sets include this file.

namespace ssa {

struct AdamConstants {
  float gradient_scale;
  float coupled_decay;    ///< weight_decay unless decoupled, else 0
  float decoupled_decay;  ///< learning_rate·weight_decay if decoupled, else 0
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float step_size;                ///< learning_rate / (1 - beta1^step)
  float inverse_root_correction;  ///< 1 / sqrt(1 - beta2^step)
  float eps;
};

/// With g the scaled gradient plus weight decay: buffer = kept·buffer + g, and the parameter moves
/// by -learning_rate·(ahead·g + behind·buffer).
struct SgdConstants {
  float gradient_scale, weight_decay, learning_rate;
  float kept;    ///< momentum; 0 at the first step, when the buffer is not read
  float ahead;   ///< 1 with Nesterov momentum, else 0
  float behind;  ///< momentum with Nesterov momentum, else 1
};

}  // namespace ssa
