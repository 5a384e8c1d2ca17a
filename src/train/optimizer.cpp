#include "ssa/train/optimizer.h"

#include "ssa/backend/backend.h"
#include "ssa/storage/sharded_tensors.h"

namespace ssa {

Optimizer::Optimizer(const OptimizerConfig& config, const ParameterStore& store,
                     std::vector<ParameterPiece> pieces)
    : config_(config), store_(store), pieces_(std::move(pieces)) {
  for (const ParameterPiece& piece : pieces_) {
    if (config.kind == OptimizerKind::sgd) {
      add_state("momentum", piece);
    } else {
      add_state("first_moment", piece);
      add_state("second_moment", piece);
    }
  }
}

void Optimizer::add_state(const std::string& kind, const ParameterPiece& piece) {
  const Parameter& parameter = store_.all().at(piece.parameter);
  const Tensor part = elements_of(piece, parameter.variable.value());
  State state;
  state.whole = kind + "." + parameter.name;
  state.name = piece.numel() == parameter.shape.numel()
                   ? state.whole
                   : part_name(state.whole, piece.begin, piece.end);
  state.tensor =
      Tensor::zeros(part.shape(), part.dtype(), part.device(), MemoryCategory::optimizer);
  state.piece = piece;
  state_.push_back(std::move(state));
}

void Optimizer::step(double learning_rate, double gradient_scale) {
  ++updates_;
  std::vector<AdamArgs> adam;
  std::vector<SgdArgs> sgd;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Parameter& parameter = store_.all()[pieces_[i].parameter];
    const Tensor gradient = parameter.variable.grad();
    if (!gradient.defined()) continue;
    const double decay = parameter.decayed ? config_.weight_decay : 0.0;
    if (config_.kind == OptimizerKind::sgd) {
      sgd.push_back({.parameter = elements_of(pieces_[i], parameter.variable.value()),
                     .gradient = elements_of(pieces_[i], gradient),
                     .momentum_buffer = state_[i].tensor,
                     .learning_rate = learning_rate,
                     .momentum = config_.momentum,
                     .nesterov = true,
                     .weight_decay = decay,
                     .gradient_scale = gradient_scale,
                     .first_step = updates_ == 1});
    } else {
      adam.push_back({.parameter = elements_of(pieces_[i], parameter.variable.value()),
                      .gradient = elements_of(pieces_[i], gradient),
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

double Optimizer::sum_squares() const {
  std::vector<Tensor> gradients;
  for (const ParameterPiece& piece : pieces_) {
    const Tensor gradient = store_.all()[piece.parameter].variable.grad();
    if (gradient.defined()) gradients.push_back(elements_of(piece, gradient));
  }
  return backend(store_.device()).sum_squares(gradients);
}

}  // namespace ssa
