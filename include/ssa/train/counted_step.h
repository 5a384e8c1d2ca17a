#pragma once

#include <cstdint>

#include "ssa/backend/counting.h"
#include "ssa/config/config.h"
#include "ssa/train/memory_plan.h"

namespace ssa {

/// The compute and memory of a training step.
struct CountedStep {
  Tally tally;  ///< of one step of one micro-batch
  MemoryPlan memory;
};

/// Runs a step of one micro-batch of `sequences` on the counting device, as one of `ranks`: the
/// real model, backward pass and optimizer, on typical tokens. A sequence has at most
/// kMostCountedPositions positions. Throws OutOfMemoryError if a tensor is larger than any memory.
CountedStep count_step(const Config& config, int64_t sequences, int64_t ranks = 1);

/// A limit, because the plan of every layer lists its positions on the host.
inline constexpr int64_t kMostCountedPositions = int64_t{1} << 20;

}  // namespace ssa
