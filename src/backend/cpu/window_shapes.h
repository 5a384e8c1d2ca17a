#pragma once

#include <cstdint>
#include <vector>

#include "ssa/backend/backend.h"

namespace ssa::cpu {

/// Groups the windows of a plan by shape. Two windows have the same shape if the way from source s
/// to target t on the grid is the same in both, for all s and t; so are then their learned 2-D
/// biases. Shapes are numbered in the order in which they first occur.
class WindowShapes {
 public:
  WindowShapes() = default;
  /// `codes` of all positions: pairs with the same difference of codes have the same bias.
  WindowShapes(const PlanTensors& plan, const std::vector<int32_t>& codes);

  int64_t count() const { return static_cast<int64_t>(first_windows_.size()); }
  /// (W)
  const std::vector<int32_t>& of_windows() const { return of_windows_; }
  /// The first window of a shape.
  int64_t first_window(int64_t shape) const { return first_windows_[static_cast<size_t>(shape)]; }

 private:
  std::vector<int32_t> of_windows_;
  std::vector<int64_t> first_windows_;
};

}  // namespace ssa::cpu
