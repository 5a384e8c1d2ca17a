// Evaluation during training: scores, samples, and what follows from them.

#include <algorithm>
#include <chrono>
#include <cmath>

#include <spdlog/spdlog.h>

#include "ssa/core/trace_range.h"
#include "ssa/dist/together.h"
#include "ssa/eval/draw_samples.h"
#include "ssa/eval/evaluate.h"
#include "ssa/train/stop_signal.h"
#include "ssa/train/trainer.h"

namespace ssa {

/// The evaluation that an interrupted run had no time for, or that train.evaluate_first wants.
void Trainer::evaluate_what_is_due() {
  if (!state_.evaluation_due || !evaluate()) return;
  state_.evaluation_due = false;
  // Otherwise a run killed before its next checkpoint is evaluated here twice.
  if (saved_step_ >= 0 || (config_.train.keep_best && is_best())) save();
}

/// Evaluates with the weights that eval.weights names. Returns false if it was interrupted: nothing
/// is recorded then, and the run is to stop.
bool Trainer::evaluate() {
  const TraceRange range("evaluate");
  WeightAverage* const average = evaluates_average() ? stepper_.average() : nullptr;
  if (average) average->swap();
  const bool complete = score_and_draw();  // if it throws, the weights are not used again
  if (average) average->swap();
  if (!complete) stop_ = true;
  return complete;
}

bool Trainer::evaluates_average() const {
  return config_.train.ema_decay > 0 && config_.eval.weights == EvalWeights::average;
}

/// Scores the validation split in renorm mode, whatever eval.mode says: an ensemble takes too long.
/// Then draws samples. Without a valid split there is nothing to score.
bool Trainer::score_and_draw() {
  if (!data_->has(Split::valid)) return draw_samples();
  const EvalOptions options{
      .mode = EvalMode::renorm,
      .batch_size =
          config_.eval.batch_size > 0 ? config_.eval.batch_size : config_.train.micro_batch,
      .ranks = &ranks_,
      .progress = [this](const EvalProgress& now) {
        progress_->update(state_.step, fmt::format("evaluating {}/{}", now.done, now.total), false);
        return !asked_to_stop();
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
  note_score(result.metrics.front());
  return true;
}

/// Remembers the best score, and counts the evaluations since. What a run in trouble scores does
/// not count.
void Trainer::note_score(double score) {
  if (in_trouble() || !std::isfinite(score)) return;
  const bool higher_is_better = task_->traits().metric().higher_is_better;
  const auto is_better = [&] {
    return higher_is_better ? score > state_.best->value : score < state_.best->value;
  };
  if (!state_.best || is_better()) {
    state_.best = {state_.step, score};
    state_.evaluations_since_best = 0;
    return;
  }
  ++state_.evaluations_since_best;
  if (config_.train.patience == 0) return;
  spdlog::info("step {}: no better than {} of step {}: evaluation {} of {} (train.patience)",
               state_.step, task_->traits().metric().text(state_.best->value), state_.best->step,
               state_.evaluations_since_best, config_.train.patience);
}

/// Whether the present step has the best score so far.
bool Trainer::is_best() const {
  return state_.best && state_.best->step == state_.step && !state_.evaluation_due;
}

/// Whether train.patience ends the run here.
bool Trainer::out_of_patience() const {
  return config_.train.patience > 0 && state_.evaluations_since_best >= config_.train.patience;
}

/// Says what has happened, or after a resume why there is nothing to do.
void Trainer::explain_early_stop() const {
  spdlog::info(
      "stopped early: {} evaluations in a row have not improved on {} of step {} (train.patience = "
      "{}). To go on, resume with a higher train.patience, or 0",
      state_.evaluations_since_best, task_->traits().metric().text(state_.best->value),
      state_.best->step, config_.train.patience);
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
                            .data = data_.get(),
                            .progress = [this](const EvalProgress& now) {
                              progress_->update(
                                  state_.step,
                                  fmt::format("drawing samples {}/{}", now.done, now.total), false);
                              return !asked_to_stop();
                            }};
    sample = ssa::draw_samples(*task_, stepper_.session().model(), *training_, how);
    progress_->clear();
    if (!sample) return;
    folder_->write_sample(state_.step, sample->suffix, sample->bytes);
    if (sample->suffix == "png") events_->image("samples", state_.step, sample->bytes);
    if (sample->suffix == "txt") events_->text("samples", state_.step, sample->bytes);
  });
  ranks_.set_timeout(Seconds(config_.distributed.timeout_seconds));
  return !ranks_.any(leads() && !sample, "whether drawing was interrupted");
}

}  // namespace ssa
