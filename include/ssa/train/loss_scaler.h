#pragma once

#include <cstdint>

#include "ssa/config/config.h"

namespace ssa {

/// Dynamic loss scaling (Micikevicius et al. 2018): the loss is multiplied by a power of two before
/// backward, so that small gradients do not vanish in fp16's narrow range, and gradients are
/// divided by it again before they are used. The scale is halved whenever a gradient overflows and
/// doubled after kGrowthInterval good steps in a row. fp32 and bf16 need no scaling: it stays 1.
class LossScaler {
 public:
  static constexpr double kInitialScale = 65536, kLargestScale = 0x1p24;
  static constexpr int64_t kGrowthInterval = 2000;

  explicit LossScaler(Precision precision)
      : dynamic_(precision == Precision::fp16), scale_(dynamic_ ? kInitialScale : 1.0) {}

  double scale() const { return scale_; }
  /// Good steps since the scale last changed.
  int64_t good_steps() const { return good_steps_; }
  /// Continues from a checkpoint's state. A fixed scale stays 1.
  void restore(double scale, int64_t good_steps);

  void succeeded();
  /// Call this if a gradient was not finite. Returns whether the scale was lowered, so that the
  /// next step may succeed. False means that the scale is not the cause.
  bool overflowed();

 private:
  bool dynamic_;
  double scale_;
  int64_t good_steps_ = 0;
};

}  // namespace ssa
