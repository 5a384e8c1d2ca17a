#include "ssa/train/run_forecast.h"

#include <algorithm>

#include "ssa/train/rank_share.h"

#include "train/run_plans.h"

namespace ssa {

namespace {

std::optional<StepFlop> step_of_all_ranks(std::optional<PhasePlans>& phase, int64_t micro_batch,
                                          int64_t batch) {
  if (!phase) return std::nullopt;
  std::optional<StepFlop> flop = phase->flop_per_example(micro_batch);
  if (!flop) return std::nullopt;
  const auto examples = static_cast<double>(batch);
  return StepFlop{flop->forward * examples, flop->backward * examples};
}

/// What a rank takes less with distributed.shard_optimizer than without.
int64_t saved_by_sharding(Config config, int64_t micro_batch, int64_t ranks) {
  const auto total = [&](bool sharded) {
    config.distributed.shard_optimizer = sharded;
    return plan_memory(*make_task(config), micro_batch, ranks).peak().total();
  };
  return total(false) - total(true);
}

/// How often a run saves, the last step included.
int64_t saves(const TrainConfig& train) {
  if (train.checkpoint_every == 0) return 1;
  return (train.steps - 1) / train.checkpoint_every + 1;
}

ForecastDisk disk_of(const TrainConfig& train, int64_t parameters) {
  const int64_t moments = train.optimizer.kind == OptimizerKind::sgd ? 1 : 2;
  const int64_t average = train.ema_decay > 0 ? 1 : 0;
  ForecastDisk disk;
  disk.checkpoint_bytes = parameters * (1 + average + moments) * int64_t{sizeof(float)};
  const int64_t newest = std::min(train.keep_checkpoints, saves(train));
  const int64_t best = train.keep_best ? 1 : 0;
  const int64_t kept = train.keep_every > 0 ? train.steps / train.keep_every : 0;
  disk.checkpoints = newest + best + kept;
  const bool one_goes = saves(train) > newest;
  disk.most_bytes = (disk.checkpoints + (one_goes ? 1 : 0)) * disk.checkpoint_bytes;
  return disk;
}

}  // namespace

RunForecast forecast(const Config& config, const ForecastRanks& ranks) {
  RunForecast result;
  result.ranks = ranks.ranks;
  result.examples_per_rank = share_of_rank(config, ranks.ranks);
  const std::unique_ptr<Task> task = make_task(config);
  const int64_t batch = config.train.batch_size, share = result.examples_per_rank;
  result.parameters = parameter_count(config);
  result.cost = training_cost(config);
  result.terms_per_step = batch * task->terms_per_example();

  RunPlans plans(*task, ranks.ranks);
  const auto limit = static_cast<int64_t>(kPlannedPart * static_cast<double>(ranks.memory));
  result.largest_micro_batch = largest_that_fits(plans, share, limit);
  result.micro_batch = config.train.micro_batch > 0
                           ? std::min(share, config.train.micro_batch)
                           : largest_that_fits(plans, share, ranks.memory / 2).value_or(1);
  result.memory = plans.memory(result.micro_batch);
  result.fits = result.memory.peak().total() <= limit;
  result.sampled_step = step_of_all_ranks(plans.sampled(), result.micro_batch, batch);
  result.finetune_step = step_of_all_ranks(plans.finetune(), result.micro_batch, batch);
  if (ranks.ranks > 1) {
    result.saved_by_sharding = saved_by_sharding(config, result.micro_batch, ranks.ranks);
  }
  result.disk = disk_of(config.train, result.parameters);
  return result;
}

std::optional<double> training_seconds(const RunForecast& forecast, const Config& config,
                                       double flop_per_second) {
  const int64_t sampled_steps = finetune_start(config);
  double flop = 0;
  const auto add = [&](const std::optional<StepFlop>& step, int64_t steps) {
    if (steps == 0) return true;
    if (step) flop += (step->forward + step->backward) * static_cast<double>(steps);
    return step.has_value();
  };
  const bool known = add(forecast.sampled_step, sampled_steps) &&
                     add(forecast.finetune_step, config.train.steps - sampled_steps);
  if (!known) return std::nullopt;
  return flop / static_cast<double>(forecast.ranks) / flop_per_second;
}

}  // namespace ssa
