#pragma once

// Argument checks and factors of optimizer steps, shared by backends that compute in f32.

#include <cmath>

#include "ssa/backend/backend.h"

#include "backend/checks.h"
#include "backend/optimizer_constants.h"

namespace ssa::checks {

/// Throws ShapeError unless adam_step() can make this update.
inline void require_adam(Device device, const AdamArgs& args) {
  require_alike({"adam_step", device}, {{"parameter", args.parameter},
                                        {"gradient", args.gradient},
                                        {"first_moment", args.first_moment},
                                        {"second_moment", args.second_moment}});
}

/// Throws ShapeError unless sgd_step() can make this update. Only momentum needs a buffer.
inline void require_sgd(Device device, const SgdArgs& args) {
  const Op op("sgd_step", device);
  require_alike(op, {{"parameter", args.parameter}, {"gradient", args.gradient}});
  if (args.momentum_buffer.defined() || args.momentum != 0) {
    require_alike(op, {{"parameter", args.parameter}, {"momentum_buffer", args.momentum_buffer}});
  }
}

}  // namespace ssa::checks

namespace ssa {

inline AdamConstants adam_constants(const AdamArgs& args) {
  const auto narrow = [](double value) { return static_cast<float>(value); };
  const auto step = static_cast<double>(args.step);
  return {.gradient_scale = narrow(args.gradient_scale),
          .coupled_decay = narrow(args.decoupled ? 0.0 : args.weight_decay),
          .decoupled_decay = narrow(args.decoupled ? args.learning_rate * args.weight_decay : 0.0),
          .beta1 = narrow(args.beta1),
          .one_minus_beta1 = narrow(1.0 - args.beta1),
          .beta2 = narrow(args.beta2),
          .one_minus_beta2 = narrow(1.0 - args.beta2),
          .step_size = narrow(args.learning_rate / (1.0 - std::pow(args.beta1, step))),
          .inverse_root_correction = narrow(1.0 / std::sqrt(1.0 - std::pow(args.beta2, step))),
          .eps = narrow(args.eps)};
}

inline SgdConstants sgd_constants(const SgdArgs& args) {
  const auto momentum = static_cast<float>(args.momentum);
  return {.gradient_scale = static_cast<float>(args.gradient_scale),
          .weight_decay = static_cast<float>(args.weight_decay),
          .learning_rate = static_cast<float>(args.learning_rate),
          .kept = args.first_step ? 0.0f : momentum,
          .ahead = args.nesterov ? 1.0f : 0.0f,
          .behind = args.nesterov ? momentum : 1.0f};
}

}  // namespace ssa
