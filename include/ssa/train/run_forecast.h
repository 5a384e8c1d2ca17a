#pragma once

#include <cstdint>
#include <optional>

#include "ssa/tasks/cost.h"
#include "ssa/train/counted_step.h"
#include "ssa/train/memory_plan.h"

namespace ssa {

/// The part of a device's memory that a plan may fill. The rest is for what the plan does not
/// count: libraries, a GPU's context, buffers of collectives.
inline constexpr double kPlannedPart = 0.9;

/// The machines that a run is meant for.
struct ForecastRanks {
  int64_t ranks = 1;
  int64_t memory = 0;  ///< bytes that each rank has
};

/// Checkpoints of a run, as train.keep_* leaves them.
struct ForecastDisk {
  int64_t checkpoint_bytes = 0;
  int64_t checkpoints = 0;  ///< in the run folder at its end
  int64_t most_bytes = 0;   ///< while the last one is saved, before an older one goes
};

/// What a run will take, before it begins. Counted, not measured: nothing is allocated.
struct RunForecast {
  int64_t parameters = 0;
  TrainingCost cost;
  int64_t ranks = 1;
  int64_t examples_per_rank = 0;  ///< of a step
  int64_t terms_per_step = 0;     ///< of all ranks: tokens, sub-pixels, images, graphs
  /// Operations of a step of all ranks, the vocabulary's included. Nothing for a phase that the run
  /// does not have, or that is beyond all measure.
  std::optional<StepFlop> sampled_step, finetune_step;

  int64_t micro_batch = 0;  ///< the config's; for `auto` what it takes with this memory
  RunMemory memory;         ///< of a rank, at micro_batch
  bool fits = false;        ///< within kPlannedPart of the memory
  /// The largest micro-batch that fits; nothing if none does.
  std::optional<int64_t> largest_micro_batch;
  /// Bytes that a rank saves by distributed.shard_optimizer, against a run without it; nothing on
  /// one rank.
  std::optional<int64_t> saved_by_sharding;

  ForecastDisk disk;
};

/// Throws ConfigError if the ranks cannot share the batch evenly.
RunForecast forecast(const Config& config, const ForecastRanks& ranks);

/// Seconds that the steps take if each rank computes so many operations per second, without
/// evaluations, waiting for data and for other ranks. Nothing if a step is beyond all measure.
std::optional<double> training_seconds(const RunForecast& forecast, const Config& config,
                                       double flop_per_second);

}  // namespace ssa
