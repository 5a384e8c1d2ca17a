#pragma once

#include <cstdint>

#include "ssa/config/config.h"

namespace ssa {

/// Predicted peak of one rank, in bytes.
struct MemoryPlan {
  int64_t parameters = 0;
  int64_t gradients = 0;
  int64_t optimizer = 0;
  int64_t activations = 0;  ///< of one micro-batch, kept for backward
  int64_t workspace = 0;    ///< temporaries of the step
  int64_t total() const { return parameters + gradients + optimizer + activations + workspace; }
};

/// Counted from the shapes that the decoder saves, for a micro-batch of `sequences`.
MemoryPlan plan_memory(const Config& config, int64_t sequences);

/// train.micro_batch, or for `auto` the largest divisor of the batch whose plan fits into half of
/// this machine's memory (at least 1).
int64_t resolve_micro_batch(const Config& config);

}  // namespace ssa
