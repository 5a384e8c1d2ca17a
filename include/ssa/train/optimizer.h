#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/train/parameter_piece.h"

namespace ssa {

/// Adam, AdamW or SGD with Nesterov momentum over the parameters of a store, or over pieces of them
/// if other ranks update the rest. How the parameters are cut does not change the result's bits.
class Optimizer {
 public:
  Optimizer(const OptimizerConfig& config, const ParameterStore& store)
      : Optimizer(config, store, whole_parameters(store)) {}
  Optimizer(const OptimizerConfig& config, const ParameterStore& store,
            std::vector<ParameterPiece> pieces);

  /// Updates the parameters from the gradients in the store, which are multiplied by
  /// `gradient_scale` first. Parameters without a gradient do not change.
  void step(double learning_rate, double gradient_scale);
  /// Σ g² over the gradients of all pieces: the squared norm of the gradient, or this rank's share.
  double sum_squares() const;

  /// A tensor of the optimizer's state.
  struct State {
    std::string name;      ///< in a checkpoint: as `whole`, or for a part "first_moment.NAME[0:64]"
    Tensor tensor;         ///< in the parameter's shape, or for a part flat
    std::string whole;     ///< "first_moment.NAME", "second_moment.NAME" or "momentum.NAME"
    ParameterPiece piece;  ///< of the parameter NAME
  };
  const std::vector<State>& state() const { return state_; }
  const ParameterStore& store() const { return store_; }
  /// What step() updates.
  const std::vector<ParameterPiece>& pieces() const { return pieces_; }
  /// Updates made so far. A resume restores it.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  void add_state(const std::string& kind, const ParameterPiece& piece);

  OptimizerConfig config_;
  const ParameterStore& store_;
  std::vector<ParameterPiece> pieces_;
  int64_t updates_ = 0;
  std::vector<State> state_;  // adam: two a piece, sgd: one, in the pieces' order
};

}  // namespace ssa
