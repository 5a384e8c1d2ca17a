#pragma once

#include <cstdint>

#include "ssa/backend/counting.h"
#include "ssa/tasks/task.h"
#include "ssa/train/memory_plan.h"

namespace ssa {

/// Operations of the matrix products and the attention of a step, the vocabulary's included.
struct StepFlop {
  double forward = 0;
  double backward = 0;  ///< with what activation checkpointing computes again
};

/// The compute and memory of a training step of one micro-batch.
struct CountedStep {
  Tally tally;
  StepFlop flop;
  MemoryPlan memory;
};

/// Runs a step of one micro-batch of `examples` on the counting device, as one of `ranks`: the
/// real model, backward pass and optimizer, on a typical batch. Throws OutOfMemoryError if a tensor
/// is larger than any memory.
CountedStep count_step(const Task& task, int64_t examples, int64_t ranks = 1,
                       Sources sources = Sources::sampled);

}  // namespace ssa
