#pragma once

#include <cstdint>
#include <vector>

#include "ssa/backend/backend.h"

namespace ssa::cpu {

/// The windows of a plan, grouped by shape. In windows of one shape, target t and source s lie in
/// the same way to each other on the grid, for every t and s: their learned 2-D biases are equal.
/// Shapes are numbered in the order of the first windows that have them.
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
