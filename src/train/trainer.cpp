#include "ssa/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include <spdlog/spdlog.h>

#include "ssa/core/trace_range.h"
#include "ssa/train/rank_checkpoint.h"
#include "ssa/train/stop_signal.h"

#include "train/with_errors_in.h"

namespace ssa {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// 0 has no multiples: never.
bool is_multiple(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

}  // namespace

TrainOutcome Trainer::train() {
  return with_errors_in(*log_, [this] {
    try {
      return run();
    } catch (const PeerError& error) {
      if (saved_step_ < 0) throw;
      const std::string what = error.what();
      throw PeerError("{}{} The job can go on from its checkpoint of step {}: --resume auto", what,
                      what.ends_with('.') ? "" : ".", saved_step_);
    }
  });
}

TrainOutcome Trainer::run() {
  announce();
  const TrainConfig& train = config_.train;
  progress_ = std::make_unique<Progress>("step", train.steps, state_.step);
  if (options_.profile) {
    profile_.emplace(*options_.profile, state_.step, options_.device, ranks_.rank());
  }
  evaluate_what_is_due();
  stop_ = ranks_.any(stop_ || StopSignal::requested(), "whether to stop");
  for (bool done = false; !done;) {
    try {
      if (!at_end() && !stopping()) run_steps();
      require_sound_end();
      done = true;
    } catch (const DivergedError& error) {
      if (roll_back(error)) continue;
      if (at_end()) save();  // in trouble, for whoever wants to look at it
      throw;
    }
  }
  if (saved_step_ != state_.step || state_.evaluation_due) save();
  progress_->clear();
  if (profile_) profile_->finish();
  const bool finished = at_end() && !state_.evaluation_due;
  if (finished && out_of_patience()) explain_early_stop();
  if (finished) log_best();
  if (finished && events_) events_->finished();
  if (!finished && out_of_time()) {
    spdlog::info("the {} hours of train.max_hours are nearly over", train.max_hours);
  }
  spdlog::info("{} at step {} after {} of training; run folder {}",
               finished ? "done" : "stopped and saved", state_.step,
               format_duration(state_.elapsed_seconds), options_.run_dir);
  return finished ? TrainOutcome::finished : TrainOutcome::interrupted;
}

/// The last step is done, or train.patience ends the run here.
bool Trainer::at_end() const { return state_.step == config_.train.steps || out_of_patience(); }

/// Several ranks stop after the step in which one of them reports that it was asked to.
bool Trainer::stopping() const { return stop_ || (ranks_.size() == 1 && StopSignal::requested()); }

bool Trainer::asked_to_stop() const { return StopSignal::requested() || out_of_time(); }

/// Whether another step and a save may not fit into what is left of train.max_hours. One step is
/// done in any case, so that a job that is started again and again comes to its end.
bool Trainer::out_of_time() const {
  const double limit = config_.train.max_hours * 3600;
  if (limit == 0 || !has_begun_) return false;
  return seconds_since(started_) + step_seconds_ + save_seconds_ >= limit;
}

/// Where the global batch of a step begins in the training set.
int64_t Trainer::first_example(int64_t step) const {
  return state_.skipped_samples + step * config_.train.batch_size;
}

/// The inputs of this rank in a step: a pure function, called on any thread.
StepItem Trainer::item_of_step(int64_t step) const {
  const int64_t micro = config_.train.micro_batch;
  const int64_t share = config_.train.batch_size / ranks_.size();
  const int64_t first = first_example(step) + ranks_.rank() * share;
  StepItem item;
  for (int64_t done = 0; done < share; done += micro) {
    const TraceRange range("read batch", step);
    item.micro_batches.push_back(training_->batch(first + done, micro));
  }
  const TraceRange range("draw plans", step);
  item.plans = plans_of_step(*task_, item.micro_batches, step, ranks_.rank());
  return item;
}

/// Runs until the last step or a signal. Other threads prepare batches and plans ahead.
void Trainer::run_steps() {
  ReadAhead<StepItem> items([this](int64_t step) { return item_of_step(step); }, state_.step,
                            config_.train.steps);
  unsent_ = nullptr;
  stepper_.send(items.next());
  while (!at_end() && !stopping()) step(items);
}

/// Sends the inputs of the step after the one that is being computed. If they cannot be read, the
/// present step is still finished, logged and perhaps saved; the next one fails.
void Trainer::send_next(ReadAhead<StepItem>& items) {
  const int64_t next = state_.step + 1;
  if (next == config_.train.steps) return;
  try {
    const auto started = Clock::now();
    std::optional<StepItem> item;
    {
      const TraceRange range("wait for data");
      item = items.next();
    }
    data_wait_.add_wait(seconds_since(started));
    const TraceRange range("send inputs");
    stepper_.send(*item);
  } catch (const std::exception&) {
    unsent_ = std::current_exception();
  }
}

void Trainer::step(ReadAhead<StepItem>& items) {
  if (unsent_) std::rethrow_exception(std::exchange(unsent_, nullptr));
  const TrainConfig& train = config_.train;
  const auto started = Clock::now();
  if (state_.step == finetune_start(config_)) {
    progress_->clear();
    spdlog::info("+FT: dense attention from here on");
  }
  has_begun_ = true;
  if (profile_) {
    profile_->before(state_.step + 1);
    stepper_.launch_one_by_one(profile_->active());
  }
  const bool norms = train.log_norms && is_logged(state_.step + 1);
  const StepResult result = stepper_.step(
      state_.step, [this] { return asked_to_stop(); }, [&] { send_next(items); }, norms);
  const double seconds = seconds_since(started);
  step_seconds_ = seconds;
  ++state_.step;
  state_.tokens += train.batch_size * task_->terms_per_example();
  state_.elapsed_seconds += seconds;
  stop_ = result.stop;
  watch_.add(result.ranks);
  data_wait_.add_step(seconds);
  log_step(result, seconds);
  guard_divergence(result);

  const bool last = state_.step == train.steps;
  if (last || is_multiple(state_.step, train.eval_every)) state_.evaluation_due = !evaluate();
  save_what_is_due();
  if (profile_) profile_->after(state_.step);
}

/// A run in trouble keeps the checkpoint from before it, for a rollback.
void Trainer::save_what_is_due() {
  const TrainConfig& train = config_.train;
  const bool due = at_end() || is_multiple(state_.step, train.checkpoint_every) ||
                   is_multiple(state_.step, train.keep_every) || (train.keep_best && is_best());
  if (due && !in_trouble()) save();
}

/// What is saved now may be ruined.
bool Trainer::in_trouble() const { return state_.consecutive_skips > 0 || !score_is_finite_; }

void Trainer::require_sound_end() const {
  if (!at_end() || state_.evaluation_due || !in_trouble()) return;
  const std::string what =
      state_.consecutive_skips > 0
          ? fmt::format("the last {} updates were not finite", state_.consecutive_skips)
          : std::string("the validation loss is not finite");
  throw DivergedError(
      "step {}: the run ends in trouble: {}. Lower train.optimizer.lr, lengthen "
      "train.schedule.warmup_steps or set train.clip_norm, then start again, or resume from the "
      "last sound checkpoint with --resume auto",
      state_.step, what);
}

void Trainer::guard_divergence(const StepResult& result) {
  if (result.updated) {
    state_.consecutive_skips = 0;
    return;
  }
  progress_->clear();
  if (result.rescaled) {
    spdlog::info("step {}: gradients overflowed; update skipped, loss scale now {}", state_.step,
                 stepper_.scaler().scale());
    return;
  }
  ++state_.consecutive_skips;
  spdlog::warn("step {}: loss {} and gradient norm {}; update skipped ({} in a row)", state_.step,
               result.loss, result.grad_norm, state_.consecutive_skips);
  if (state_.consecutive_skips > config_.train.max_skipped_steps) {
    throw DivergedError(
        "step {}: {} updates in a row were not finite (train.max_skipped_steps is {}). Lower "
        "train.optimizer.lr, lengthen train.schedule.warmup_steps or set train.clip_norm, then "
        "start again or resume from an older checkpoint",
        state_.step, state_.consecutive_skips, config_.train.max_skipped_steps);
  }
}

/// Goes back to the newest sound checkpoint, on all ranks, and continues with data after the
/// samples that led here. Returns false if there is no such checkpoint or no rollback left.
bool Trainer::roll_back(const DivergedError& reason) {
  if (rollbacks_ >= config_.train.max_rollbacks) return false;
  const std::string latest = latest_checkpoint();
  if (latest.empty()) return false;
  const LoadedCheckpoint checkpoint = open_checkpoint(latest);
  if (checkpoint.in_trouble) return false;
  const int64_t failed = state_.step, skipped_before = state_.skipped_samples;
  const double elapsed = state_.elapsed_seconds;
  const std::vector<ConfigChange> changes = state_.config_changes;
  restore(checkpoint);
  ++rollbacks_;
  const int64_t led_astray = (failed - state_.step) * config_.train.batch_size;
  state_.skipped_samples = skipped_before + led_astray;
  state_.elapsed_seconds = elapsed;
  state_.config_changes = changes;
  state_.consecutive_skips = 0;
  state_.ranks = ranks_.size();
  open_records();
  spdlog::warn(
      "{}\ngoing back to {}, and on from there with other data: the {} {} of steps {} to {} are "
      "left out",
      reason.what(), latest, led_astray, task_->traits().examples, state_.step + 1, failed);
  return true;
}

/// Whether a line of the metrics is written after `step` steps.
bool Trainer::is_logged(int64_t step) const {
  const int64_t every = config_.train.log_every;
  return is_multiple(step, every) || (every > 0 && step == config_.train.steps);
}

void Trainer::log_step(const StepResult& result, double seconds) {
  const bool logged = is_logged(state_.step);
  if (std::isfinite(result.loss)) {
    state_.unlogged_loss += result.loss;
    ++state_.unlogged_steps;
  }
  const double mean_loss = state_.unlogged_loss / static_cast<double>(state_.unlogged_steps);
  const double rate =
      static_cast<double>(config_.train.batch_size * task_->terms_per_example()) / seconds;
  const TaskTraits& traits = task_->traits();
  const Metric& metric = traits.metric();
  const std::string score =
      metric.from_loss ? "  " + metric.text(metric.from_loss(result.loss)) : std::string();
  const std::string mean =
      state_.unlogged_steps > 1 ? fmt::format("  mean {:.4f}", mean_loss) : std::string();
  const std::string waited = data_wait_.text().empty() ? "" : "  " + data_wait_.text();
  progress_->update(state_.step,
                    fmt::format("loss {:.4f}{}{}  lr {:.2e}{}  {:.0f} {}/s", result.loss, mean,
                                score, result.learning_rate, waited, rate, traits.rate),
                    logged);
  if (!logged) return;
  MetricsEvent event;
  event.step = state_.step;
  event.split = "train";
  event.loss = result.loss;
  if (state_.unlogged_steps > 0) event.mean_loss = mean_loss;
  for (const Metric& one : traits.metrics) {
    if (one.from_loss) event.metrics.emplace_back(one.key, one.from_loss(result.loss));
  }
  event.lr = result.learning_rate;
  event.grad_norm = result.grad_norm;
  event.tokens = state_.tokens;
  event.tokens_per_second = rate;
  event.elapsed_seconds = state_.elapsed_seconds;
  event.peak_memory_bytes = allocator(options_.device).stats().peak_total_bytes;
  event.data_wait_seconds = data_wait_.take();
  for (const LayerNorms& one : result.layers) {
    event.gradient_norms.emplace_back(one.layer, one.gradient);
    event.parameter_norms.emplace_back(one.layer, one.parameters);
  }
  watch_ranks(event);
  record(event);
  state_.unlogged_loss = 0;
  state_.unlogged_steps = 0;
}

/// Adds what is only measured with several ranks.
void Trainer::watch_ranks(MetricsEvent& event) {
  if (ranks_.size() == 1) return;
  const RankWatch::Summary summary = watch_.take();
  event.metrics.insert(event.metrics.end(),
                       {{"ranks", static_cast<double>(ranks_.size())},
                        {"wait_seconds", summary.wait_seconds},
                        {"overlap", summary.overlap},
                        {"slowest_rank", static_cast<double>(summary.slowest_rank)},
                        {"slowest_seconds", summary.slowest_seconds}});
  const int straggler = has_straggler(summary) ? summary.slowest_rank : -1;
  if (straggler >= 0 && straggler != straggler_) {
    spdlog::info("step {}: {}", state_.step, straggler_message(summary));
  }
  straggler_ = straggler;
}

void Trainer::record(const MetricsEvent& event) {
  if (!leads()) return;
  metrics_->write(event);
  events_->write(event);
}

/// The checkpoints that stay.
Retention Trainer::retention() const {
  Retention keep(config_.train.keep_checkpoints);
  keep.every = config_.train.keep_every;
  if (config_.train.keep_best && state_.best) keep.best = state_.best->step;
  return keep;
}

void Trainer::save() {
  const TraceRange range("save");
  const auto started = Clock::now();
  if (metrics_) metrics_->sync();
  state_.optimizer_updates = stepper_.optimizer().updates();
  state_.loss_scale = stepper_.scaler().scale();
  state_.loss_scale_good_steps = stepper_.scaler().good_steps();
  CheckpointData data;
  data.step = state_.step;
  data.model = stepper_.session().named_parameters();
  if (const WeightAverage* average = stepper_.average()) data.average = average->named();
  for (const Optimizer::State& state : stepper_.optimizer().state()) {
    data.optimizer.push_back({state.name, state.tensor});
  }
  data.state_json = to_json(state_);
  data.config_yaml = dump_config(config_);
  data.in_trouble = in_trouble();
  save_checkpoint(ranks_, options_.run_dir, data, config_.distributed.shard_optimizer, retention());
  save_seconds_ = std::max(save_seconds_, seconds_since(started));
  saved_step_ = state_.step;
  rollbacks_ = 0;
  spdlog::debug("saved checkpoint of step {}", state_.step);
}

}  // namespace ssa
