#pragma once

#include <cstdint>

#include "ssa/backend/counting.h"
#include "ssa/config/config.h"
#include "ssa/train/memory_plan.h"

namespace ssa {

/// What a training step asks of its device.
struct CountedStep {
  Tally tally;  ///< of one step of one micro-batch
  MemoryPlan memory;
};

/// Takes a step of one micro-batch of `sequences` on the counting device, as one of `ranks`: the
/// real model, backward pass and optimizer, on typical tokens. The sequences' positions are at most
/// kMostCountedPositions each. Throws OutOfMemoryError where a tensor is larger than memories are.
CountedStep count_step(const Config& config, int64_t sequences, int64_t ranks = 1);

/// The host lists the positions of every layer's plan.
inline constexpr int64_t kMostCountedPositions = int64_t{1} << 20;

}  // namespace ssa
