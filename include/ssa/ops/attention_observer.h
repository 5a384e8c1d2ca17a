#pragma once

#include <functional>

#include "ssa/core/tensor.h"

namespace ssa::ops {

/// While one lives, attention that stores its weights (AttentionOptions::materialized) hands out a
/// view of them on this thread, call by call: in the order of the layers. For studies of what a
/// model attends to.
class AttentionObserver {
 public:
  /// Receives the softmax weights (B, H, W, T, S), before dropout.
  using Observe = std::function<void(const Tensor& weights)>;

  explicit AttentionObserver(Observe observe);
  ~AttentionObserver();
  AttentionObserver(const AttentionObserver&) = delete;
  AttentionObserver& operator=(const AttentionObserver&) = delete;

  /// Called by attention.
  static void hand_out(const Tensor& weights);

 private:
  Observe observe_;
  AttentionObserver* before_;
};

}  // namespace ssa::ops
