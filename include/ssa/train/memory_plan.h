#pragma once

#include <cstdint>
#include <string>

#include "ssa/config/config.h"
#include "ssa/core/tensor.h"

namespace ssa {

/// Predicted peak of one rank, in bytes. Each part is at most an eighth of what an int64_t holds:
/// sizes beyond count as that.
struct MemoryPlan {
  int64_t parameters = 0;
  int64_t packed_weights = 0;  ///< the copies that products use
  int64_t gradients = 0;       ///< and their bf16 copies that are sent to other ranks
  int64_t optimizer = 0;
  int64_t activations = 0;  ///< of one micro-batch, kept for backward
  int64_t workspace = 0;    ///< temporaries of the step
  int64_t total() const {
    return parameters + packed_weights + gradients + optimizer + activations + workspace;
  }
};

/// Of one of `ranks`, for a micro-batch of `sequences`: the peak of a step on the counting device,
/// with the workspaces that the cpu backend has with as many threads as OpenMP has now.
MemoryPlan plan_memory(const Config& config, int64_t sequences, int64_t ranks = 1);

/// Bytes that this process may fill: the machine's memory, or less where a control group (of a
/// container, of a scheduler's job) limits it. Tests put a folder of their own before /proc and
/// /sys.
int64_t usable_memory(const std::string& root = "");

/// The same for the memory that a device's tensors live in.
int64_t usable_memory(Device device);

/// train.micro_batch, or for `auto` the largest divisor of what a rank has of the batch whose plan
/// fits into half of `memory` (at least 1). Ranks on one machine share its memory: `memory` is one
/// rank's.
int64_t resolve_micro_batch(const Config& config, int64_t memory = usable_memory(),
                            int64_t ranks = 1);

}  // namespace ssa
