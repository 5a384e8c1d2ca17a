#pragma once

#include "ssa/backend/backend.h"

#include "support/tensors.h"

// Source plans over nine positions, written out, so that each case is in them for certain.

namespace ssa::testing {

inline constexpr int64_t kPlanLength = 9;

inline PlanTensors dense_plan(int32_t length) {
  std::vector<int32_t> all;
  for (int32_t i = 0; i < length; ++i) all.push_back(i);
  return {i32(all, {1, length}), i32(all, {1, length})};
}

/// Three windows. Positions 3 and 7 are in two windows, 1, 4 and 6 in none. If causal, targets 0
/// and 1 see nothing.
inline PlanTensors local_plan() {
  return {i32({0, 1, 2, 3, 4, 5, 6, 7, 8}, {3, 3}), i32({2, 5, 7, 0, 3, 8, 3, 7, 8}, {3, 3})};
}

/// Targets out of order, four sources a window, out of order as well.
inline PlanTensors shuffled_plan() {
  return {i32({7, 0, 4, 2, 8, 1, 5, 3, 6}, {3, 3}),
          i32({6, 0, 3, 8, 1, 0, 2, 7, 5, 0, 6, 2}, {3, 4})};
}

/// One window, positions 2, 3, 5 and 8 sampled. If causal, targets 0 and 1 see nothing.
inline PlanTensors unbiased_plan() {
  return {dense_plan(kPlanLength).targets, i32({2, 3, 5, 8}, {1, 4})};
}

}  // namespace ssa::testing
