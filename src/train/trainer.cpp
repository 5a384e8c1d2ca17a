#include "ssa/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include <spdlog/spdlog.h>

#include "ssa/dist/together.h"
#include "ssa/eval/draw_samples.h"
#include "ssa/eval/evaluate.h"
#include "ssa/train/rank_checkpoint.h"
#include "ssa/train/stop_signal.h"

#include "train/with_errors_in.h"

namespace ssa {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

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
  if (state_.evaluation_due && evaluate()) {
    state_.evaluation_due = false;
    save();  // otherwise a run killed before its next checkpoint is evaluated here twice
  }
  stop_ = ranks_.any(StopSignal::requested(), "whether to stop");
  for (bool done = false; !done;) {
    try {
      if (state_.step < train.steps && !stopping()) run_steps();
      require_sound_end();
      done = true;
    } catch (const DivergedError& error) {
      if (roll_back(error)) continue;
      if (state_.step == train.steps) save();  // in trouble, for whoever wants to look at it
      throw;
    }
  }
  if (saved_step_ != state_.step || state_.evaluation_due) save();
  progress_->clear();
  const bool finished = state_.step == train.steps && !state_.evaluation_due;
  if (finished) log_best();
  spdlog::info("{} at step {} after {} of training; run folder {}",
               finished ? "done" : "stopped and saved", state_.step,
               format_duration(state_.elapsed_seconds), options_.run_dir);
  return finished ? TrainOutcome::finished : TrainOutcome::interrupted;
}

/// Several ranks stop after the step in which one of them reports a signal.
bool Trainer::stopping() const { return stop_ || (ranks_.size() == 1 && StopSignal::requested()); }

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
    item.micro_batches.push_back(training_->batch(first + done, micro));
  }
  item.plans = plans_of_step(*task_, item.micro_batches, step, ranks_.rank());
  return item;
}

/// Runs until the last step or a signal. Other threads prepare batches and plans ahead.
void Trainer::run_steps() {
  ReadAhead<StepItem> items([this](int64_t step) { return item_of_step(step); }, state_.step,
                            config_.train.steps);
  unsent_ = nullptr;
  stepper_.send(items.next());
  while (state_.step < config_.train.steps && !stopping()) step(items);
}

/// Sends the inputs of the step after the one that is being computed. If they cannot be read, the
/// present step is still finished, logged and perhaps saved; the next one fails.
void Trainer::send_next(ReadAhead<StepItem>& items) {
  const int64_t next = state_.step + 1;
  if (next == config_.train.steps) return;
  try {
    const auto started = Clock::now();
    const StepItem item = items.next();
    data_wait_.add_wait(seconds_since(started));
    stepper_.send(item);
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
  const StepResult result =
      stepper_.step(state_.step, StopSignal::requested, [&] { send_next(items); });
  const double seconds = seconds_since(started);
  ++state_.step;
  state_.tokens += train.batch_size * task_->terms_per_example();
  state_.elapsed_seconds += seconds;
  stop_ = result.stop;
  watch_.add(result.ranks);
  data_wait_.add_step(seconds);
  log_step(result, seconds);
  guard_divergence(result);

  const bool last = state_.step == train.steps;
  const auto due = [&](int64_t every) { return every > 0 && state_.step % every == 0; };
  if (last || due(train.eval_every)) state_.evaluation_due = !evaluate();
  // A run in trouble keeps the checkpoint from before it, for a rollback.
  if ((last || due(train.checkpoint_every)) && !in_trouble()) save();
}

/// What is saved now may be ruined.
bool Trainer::in_trouble() const { return state_.consecutive_skips > 0 || !score_is_finite_; }

void Trainer::require_sound_end() const {
  if (state_.step < config_.train.steps || state_.evaluation_due || !in_trouble()) return;
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

void Trainer::log_step(const StepResult& result, double seconds) {
  const int64_t every = config_.train.log_every;
  const bool logged = every > 0 && (state_.step % every == 0 || state_.step == config_.train.steps);
  const double rate =
      static_cast<double>(config_.train.batch_size * task_->terms_per_example()) / seconds;
  const TaskTraits& traits = task_->traits();
  const Metric& metric = traits.metric();
  const std::string score =
      metric.from_loss ? "  " + metric.text(metric.from_loss(result.loss)) : std::string();
  const std::string waited = data_wait_.text().empty() ? "" : "  " + data_wait_.text();
  progress_->update(state_.step,
                    fmt::format("loss {:.4f}{}  lr {:.2e}{}  {:.0f} {}/s", result.loss, score,
                                result.learning_rate, waited, rate, traits.rate),
                    logged);
  if (!logged) return;
  MetricsEvent event;
  event.step = state_.step;
  event.split = "train";
  event.loss = result.loss;
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
  watch_ranks(event);
  record(event);
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

/// Evaluates with the average of the weights if there is one. Returns false if a signal interrupted
/// it; nothing is recorded then.
bool Trainer::evaluate() {
  WeightAverage* const average = stepper_.average();
  if (average) average->swap();
  const bool complete = score_and_draw();  // if it throws, the weights are not used again
  if (average) average->swap();
  return complete;
}

/// Scores the validation split in renorm mode, whatever eval.mode says: an ensemble takes too long.
/// Then draws samples.
bool Trainer::score_and_draw() {
  const EvalOptions options{
      .mode = EvalMode::renorm,
      .batch_size =
          config_.eval.batch_size > 0 ? config_.eval.batch_size : config_.train.micro_batch,
      .ranks = &ranks_,
      .progress = [this](const EvalProgress& now) {
        progress_->update(state_.step, fmt::format("evaluating {}/{}", now.done, now.total), false);
        return !StopSignal::requested();
      }};
  if (!validation_) {
    validation_ = data_->evaluation(config_, Split::valid, config_.train.eval_tokens);
  }
  const EvalResult result =
      ssa::evaluate(stepper_.session().model(), *task_, *validation_, options, options_.device);
  if (!result.complete) return false;
  score_is_finite_ = std::isfinite(result.loss);
  const TaskTraits& traits = task_->traits();
  progress_->clear();
  spdlog::info("step {}: valid loss {:.4f}, {} over {} {}", state_.step, result.loss,
               traits.metric().text(result.metrics.front()), result.terms, traits.terms);
  if (!draw_samples()) return false;
  MetricsEvent event;
  event.step = state_.step;
  event.split = "valid";
  event.loss = result.loss;
  for (size_t i = 0; i < traits.metrics.size(); ++i) {
    event.metrics.emplace_back(traits.metrics[i].key, result.metrics[i]);
  }
  event.tokens = state_.tokens;
  event.elapsed_seconds = state_.elapsed_seconds;
  record(event);
  return true;
}

/// The best validation beside the last one: papers quote the one or the other.
void Trainer::log_best() const {
  if (!leads()) return;
  const Metric& metric = task_->traits().metric();
  const std::vector<MetricsEvent> events = read_metrics(folder_->metrics_path());
  const MetricsEvent* const best = best_event(events, "valid", metric.key, metric.higher_is_better);
  if (!best) return;
  const auto score = [&](const MetricsEvent& event) {
    const auto found = std::ranges::find_if(
        event.metrics, [&](const auto& one) { return one.first == metric.key; });
    return metric.text(found->second);
  };
  const auto last = std::ranges::find_if(events.rbegin(), events.rend(),
                                         [](const auto& event) { return event.split == "valid"; });
  const std::optional<double> epoch = epoch_of_step(config_, best->step);
  spdlog::info("best validation: {} at step {}{}; last: {}", score(*best), best->step,
               epoch ? fmt::format(" (epoch {:.4g})", *epoch) : std::string(), score(*last));
}

/// Draws train.samples samples on rank 0, for which the other ranks wait, however long it takes.
/// Returns false if a signal interrupted it.
bool Trainer::draw_samples() {
  if (config_.train.samples == 0 || !score_is_finite_) return true;
  using Seconds = std::chrono::duration<double>;
  std::optional<Sample> sample;
  ranks_.set_timeout(std::chrono::hours(24 * 365));
  together(ranks_, "drawing samples", [&] {
    if (!leads()) return;
    const SampleOptions how{.count = config_.train.samples,
                            .next_example = first_example(state_.step),
                            .device = options_.device,
                            .progress = [this](const EvalProgress& now) {
                              progress_->update(
                                  state_.step,
                                  fmt::format("drawing samples {}/{}", now.done, now.total), false);
                              return !StopSignal::requested();
                            }};
    sample = ssa::draw_samples(*task_, stepper_.session().model(), *training_, how);
    progress_->clear();
    if (!sample) return;
    folder_->write_sample(state_.step, sample->suffix, sample->bytes);
    if (sample->suffix == "png") events_->image("samples", state_.step, sample->bytes);
  });
  ranks_.set_timeout(Seconds(config_.distributed.timeout_seconds));
  return !ranks_.any(leads() && !sample, "whether drawing was interrupted");
}

void Trainer::record(const MetricsEvent& event) {
  if (!leads()) return;
  metrics_->write(event);
  events_->write(event);
}

void Trainer::save() {
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
  save_checkpoint(ranks_, options_.run_dir, data, config_.distributed.shard_optimizer,
                  config_.train.keep_checkpoints);
  saved_step_ = state_.step;
  rollbacks_ = 0;
  spdlog::debug("saved checkpoint of step {}", state_.step);
}

}  // namespace ssa
