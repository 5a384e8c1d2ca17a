#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/nn/parameters.h"

namespace ssa {

/// Adam, AdamW or SGD with Nesterov momentum over all parameters of a store.
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config, const ParameterStore& store);

  /// One update from the gradients collected in the store, each first multiplied by
  /// `gradient_scale`. Parameters without a gradient stay as they are.
  void step(double learning_rate, double gradient_scale);
  /// √Σ g² over all gradients.
  double gradient_norm() const;

  /// A tensor of the optimizer's state: "first_moment.NAME", "second_moment.NAME" or
  /// "momentum.NAME".
  struct State {
    std::string name;
    Tensor tensor;
  };
  const std::vector<State>& state() const { return state_; }
  /// Updates made so far; part of what a resume needs.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  OptimizerConfig config_;
  const ParameterStore& store_;
  int64_t updates_ = 0;
  std::vector<State> state_;  // adam: two a parameter, sgd: one, in the store's order
};

}  // namespace ssa
