#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "ssa/train/counted_step.h"
#include "ssa/train/memory_plan.h"

namespace ssa {

/// Steps of one phase for several micro-batch sizes. Steps of up to kMostExamples and kMostTerms
/// are counted. Beyond that, memory grows linearly except for the allocator's rounding, which is
/// the same after halving and doubling.
class PhasePlans {
 public:
  PhasePlans(const Task& task, int64_t ranks, Sources sources);

  MemoryPlan memory(int64_t examples);
  /// Operations of an example, as counted in a step of the given size or in a part of it. Nothing
  /// for a step that no memory holds.
  std::optional<StepFlop> flop_per_example(int64_t examples);

 private:
  static constexpr int64_t kMostExamples = 64, kMostTerms = int64_t{1} << 18;
  /// Beyond this, the lists take more than about 1 GiB of the host's memory. Reached by 32 layers
  /// of 2^20 positions.
  static constexpr int64_t kMostListed = int64_t{1} << 26;

  struct Counted {
    MemoryPlan memory;
    StepFlop flop;
  };

  int64_t counted_examples(int64_t examples) const;
  const Counted& counted(int64_t examples);

  const Task& task_;
  int64_t ranks_;
  Sources sources_;
  bool measurable_;
  std::map<int64_t, Counted> counted_;
};

/// Both phases of a run.
class RunPlans {
 public:
  RunPlans(const Task& task, int64_t ranks);

  RunMemory memory(int64_t examples);
  std::optional<PhasePlans>& sampled() { return sampled_; }
  std::optional<PhasePlans>& finetune() { return finetune_; }

 private:
  std::optional<PhasePlans> sampled_, finetune_;
};

/// The largest divisor of `share` whose plan takes at most `limit` bytes; nothing if even the plan
/// of one example takes more.
std::optional<int64_t> largest_that_fits(RunPlans& plans, int64_t share, int64_t limit);

}  // namespace ssa
