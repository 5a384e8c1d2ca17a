#include "ssa/train/optimizer.h"

#include <cmath>

#include "ssa/backend/backend.h"

namespace ssa {

Optimizer::Optimizer(const OptimizerConfig& config, const ParameterStore& store)
    : config_(config), store_(store) {
  const auto add = [&](const std::string& kind, const Parameter& parameter) {
    const Tensor& value = parameter.variable.value();
    state_.push_back(
        {kind + "." + parameter.name,
         Tensor::zeros(value.shape(), value.dtype(), value.device(), MemoryCategory::optimizer)});
  };
  for (const Parameter& parameter : store.all()) {
    if (config.kind == OptimizerKind::sgd) {
      add("momentum", parameter);
    } else {
      add("first_moment", parameter);
      add("second_moment", parameter);
    }
  }
}

void Optimizer::step(double learning_rate, double gradient_scale) {
  ++updates_;
  std::vector<AdamArgs> adam;
  std::vector<SgdArgs> sgd;
  for (size_t i = 0; i < store_.all().size(); ++i) {
    const Parameter& parameter = store_.all()[i];
    const Tensor gradient = parameter.variable.grad();
    if (!gradient.defined()) continue;
    const double decay = parameter.decayed ? config_.weight_decay : 0.0;
    if (config_.kind == OptimizerKind::sgd) {
      sgd.push_back({.parameter = parameter.variable.value(),
                     .gradient = gradient,
                     .momentum_buffer = state_[i].tensor,
                     .learning_rate = learning_rate,
                     .momentum = config_.momentum,
                     .nesterov = true,
                     .weight_decay = decay,
                     .gradient_scale = gradient_scale,
                     .first_step = updates_ == 1});
    } else {
      adam.push_back({.parameter = parameter.variable.value(),
                      .gradient = gradient,
                      .first_moment = state_[2 * i].tensor,
                      .second_moment = state_[2 * i + 1].tensor,
                      .learning_rate = learning_rate,
                      .beta1 = config_.betas[0],
                      .beta2 = config_.betas[1],
                      .eps = config_.eps,
                      .weight_decay = decay,
                      .decoupled = config_.kind == OptimizerKind::adamw,
                      .gradient_scale = gradient_scale,
                      .step = updates_});
    }
  }
  Backend& compute = backend(store_.device());
  if (config_.kind == OptimizerKind::sgd) {
    compute.sgd_step(sgd);
  } else {
    compute.adam_step(adam);
  }
}

double Optimizer::gradient_norm() const {
  std::vector<Tensor> gradients;
  for (const Parameter& parameter : store_.all()) {
    const Tensor gradient = parameter.variable.grad();
    if (gradient.defined()) gradients.push_back(gradient);
  }
  return std::sqrt(backend(store_.device()).sum_squares(gradients));
}

}  // namespace ssa
