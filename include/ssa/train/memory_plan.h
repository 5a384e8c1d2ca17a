#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ssa/core/system_limits.h"
#include "ssa/core/tensor.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// Predicted peak memory of one rank in a step, in bytes. No part exceeds an eighth of the largest
/// int64_t, so that their sum never overflows.
struct MemoryPlan {
  int64_t parameters = 0;
  int64_t packed_weights = 0;  ///< copies of the weights that matrix products use
  int64_t gradients = 0;       ///< with the bf16 copies that are sent to other ranks
  int64_t optimizer = 0;
  int64_t activations = 0;  ///< of one micro-batch, kept for backward
  int64_t workspace = 0;    ///< temporaries of the step
  int64_t total() const {
    return parameters + packed_weights + gradients + optimizer + activations + workspace;
  }
};

/// The plans of a run's phases. A run without +FT has one phase, which is `sampled` even where
/// attention is dense.
struct RunMemory {
  std::optional<MemoryPlan> sampled, finetune;
  /// The phase that needs more memory.
  const MemoryPlan& peak() const;
  /// "12 MiB: parameters 1, …"; with +FT also the memory of each phase.
  std::string text() const;
};

/// The plan of one of `ranks` for a micro-batch of `examples`: the peak of a step on the counting
/// device, with the workspaces that the cpu backend needs for OpenMP's present number of threads.
RunMemory plan_memory(const Task& task, int64_t examples, int64_t ranks = 1);

/// Bytes of memory that this process may use on a device.
int64_t usable_memory(Device device);

/// train.micro_batch. For `auto`, the largest divisor of a rank's share of the batch whose plan
/// fits into half of `memory`, at least 1. Ranks on one machine share its memory: `memory` is the
/// part of one rank.
int64_t resolve_micro_batch(const Task& task, int64_t memory = usable_memory(), int64_t ranks = 1);

}  // namespace ssa
