#include "ssa/train/trainer.h"

#include <chrono>
#include <cmath>
#include <filesystem>

#include <spdlog/spdlog.h>

#include "ssa/core/version.h"
#include "ssa/models/cost.h"
#include "ssa/models/decoder_plans.h"
#include "ssa/train/memory_plan.h"
#include "ssa/train/stop_signal.h"

namespace ssa {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// `--resume` names a checkpoint.
bool names_checkpoint(const std::string& resume) { return resume != "none" && resume != "auto"; }

bool lies_in(const std::string& checkpoint, const std::string& folder) {
  std::error_code error;  // of a folder that does not exist: nothing lies in it
  const auto parent = std::filesystem::canonical(checkpoint, error).parent_path();
  return !error && std::filesystem::equivalent(parent, folder, error);
}

/// The folder's metrics say that a run lives there already; going on from somewhere else would
/// remove its records.
void refuse_existing_run(const RunFolder& folder, const std::string& resume) {
  if (!path_exists(folder.metrics_path())) return;
  if (resume == "none") {
    throw ConfigError(
        "{} holds a run already: continue it with --resume auto, or give another "
        "--run-dir",
        folder.path());
  }
  if (names_checkpoint(resume) && !lies_in(resume, folder.checkpoints_path())) {
    throw ConfigError(
        "{} holds a run already, and {} is not one of its checkpoints: give another --run-dir to "
        "branch off, or continue this run with --resume auto",
        folder.path(), resume);
  }
}

/// Calls `body`; the error that ends it, which the program prints, is also put into the log file.
template <class Body>
auto with_errors_in(LogFile& log, Body&& body) {
  try {
    return body();
  } catch (const std::exception& error) {
    log.error(error.what());
    throw;
  }
}

}  // namespace

Trainer::Trainer(const Config& config, const TrainOptions& options)
    : dataset_(TokenDataset::open(config.data.path)),
      config_(config_for_data(config, dataset_)),
      metric_(config.task),
      options_(options),
      sampler_(config.train.seed, dataset_.split_size(Split::train), config.data.length),
      session_(config_, options.device),
      optimizer_(config.train.optimizer, session_.parameters()),
      scaler_(config.train.precision),
      state_(initial_state(config, dataset_.info())) {
  // The folder comes after what may throw: a wrong config or checkpoint leaves none behind.
  if (names_checkpoint(options.resume)) restore(open_checkpoint(options.resume));
  folder_.emplace(options.run_dir);
  refuse_existing_run(*folder_, options.resume);
  log_ = std::make_unique<LogFile>(folder_->log_path());
  with_errors_in(*log_, [this] { open_run(); });
}

Trainer::~Trainer() = default;

/// Nothing of a run that is there is changed before it is clear that this one can go on.
void Trainer::open_run() {
  if (options_.resume == "auto") restore_latest();
  if (!resumed_from_.empty()) {
    spdlog::info("resumed from {} (step {})", resumed_from_, state_.step);
  }
  settle_micro_batch();
  folder_->write_config(dump_config(config_));
  // From here on the named checkpoint is the run's newest, whenever the run is stopped: before
  // metrics of later steps, which belong to the branch that is left, are removed.
  if (names_checkpoint(options_.resume)) save();
  const int64_t last_line = resumed_from_.empty() ? -1 : state_.step;
  metrics_ = std::make_unique<MetricsWriter>(folder_->metrics_path(), last_line);
  events_ = std::make_unique<EventWriter>(folder_->path(), last_line);
}

TrainOutcome Trainer::train() {
  return with_errors_in(*log_, [this] {
    try {
      return run();
    } catch (const OutOfMemoryError& error) {
      throw OutOfMemoryError(fmt::format("{}\n{}", error.what(), planned_memory()));
    }
  });
}

/// What was expected, for those whose memory was not enough.
std::string Trainer::planned_memory() const {
  const MemoryPlan plan = plan_memory(config_, config_.train.micro_batch);
  const auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / 0x1p20; };
  return fmt::format(
      "Planned at micro-batch {}: {:.0f} MiB: parameters {:.0f}, packed weights {:.0f}, gradients "
      "{:.0f}, optimizer {:.0f}, activations {:.0f}, workspace {:.0f}; the {} has {:.0f} MiB.",
      config_.train.micro_batch, mib(plan.total()), mib(plan.parameters), mib(plan.packed_weights),
      mib(plan.gradients), mib(plan.optimizer), mib(plan.activations), mib(plan.workspace),
      options_.device == Device::cuda ? "GPU" : "machine", mib(usable_memory(options_.device)));
}

TrainOutcome Trainer::run() {
  announce();
  const TrainConfig& train = config_.train;
  LmLoader loader(dataset_, Split::train, sampler_, train.batch_size, state_.step, train.steps);
  PlanQueue plans([this](int64_t step) { return plans_of_step(config_, step); }, state_.step,
                  train.steps);
  progress_ = std::make_unique<Progress>("step", train.steps, state_.step);

  if (state_.evaluation_due && evaluate()) {
    state_.evaluation_due = false;
    save();  // or a run killed before its next checkpoint would be scored here twice
  }
  while (state_.step < train.steps && !StopSignal::requested()) step(loader, plans);
  if (saved_step_ != state_.step || state_.evaluation_due) save();
  progress_->clear();
  const bool finished = state_.step == train.steps && !state_.evaluation_due;
  spdlog::info("{} at step {} after {} of training; run folder {}",
               finished ? "done" : "stopped and saved", state_.step,
               format_duration(state_.elapsed_seconds), folder_->path());
  return finished ? TrainOutcome::finished : TrainOutcome::interrupted;
}

void Trainer::step(LmLoader& loader, PlanQueue& plans) {
  const TrainConfig& train = config_.train;
  const auto started = Clock::now();
  if (state_.step == finetune_start(config_)) {
    progress_->clear();
    spdlog::info("+FT: dense attention from here on");
  }
  const StepResult result = lm_train_step(config_, session_, optimizer_, scaler_, state_.step,
                                          loader.next(), plans.pop(state_.step));
  const double seconds = seconds_since(started);
  ++state_.step;
  state_.tokens += train.batch_size * config_.data.length;
  state_.elapsed_seconds += seconds;
  log_step(result, seconds);
  guard_divergence(result);

  const bool last = state_.step == train.steps;
  const auto due = [&](int64_t every) { return every > 0 && state_.step % every == 0; };
  if (last || due(train.eval_every)) state_.evaluation_due = !evaluate();
  if (last || due(train.checkpoint_every)) save();
}

void Trainer::guard_divergence(const StepResult& result) {
  if (result.updated) {
    state_.skipped_in_a_row = 0;
    return;
  }
  progress_->clear();
  if (result.rescaled) {
    spdlog::info("step {}: gradients overflowed; update skipped, loss scale now {}", state_.step,
                 scaler_.scale());
    return;
  }
  ++state_.skipped_in_a_row;
  spdlog::warn("step {}: loss {} and gradient norm {}; update skipped ({} in a row)", state_.step,
               result.loss, result.grad_norm, state_.skipped_in_a_row);
  if (state_.skipped_in_a_row > config_.train.max_skipped_steps) {
    throw DivergedError(
        "step {}: {} updates in a row were not finite (train.max_skipped_steps is "
        "{}). Lower train.optimizer.lr, lengthen train.schedule.warmup_steps or "
        "set train.clip_norm, then start again or resume from an older checkpoint",
        state_.step, state_.skipped_in_a_row, config_.train.max_skipped_steps);
  }
}

void Trainer::log_step(const StepResult& result, double seconds) {
  const int64_t every = config_.train.log_every;
  const bool logged = every > 0 && (state_.step % every == 0 || state_.step == config_.train.steps);
  const double rate = static_cast<double>(config_.train.batch_size * config_.data.length) / seconds;
  progress_->update(state_.step,
                    fmt::format("loss {:.4f}  {}  lr {:.2e}  {:.0f} tokens/s", result.loss,
                                metric_.text(result.loss), result.learning_rate, rate),
                    logged);
  if (!logged) return;
  MetricsEvent event;
  event.step = state_.step;
  event.split = "train";
  event.loss = result.loss;
  event.metrics = {{std::string(metric_.key()), metric_.value(result.loss)}};
  event.lr = result.learning_rate;
  event.grad_norm = result.grad_norm;
  event.tokens = state_.tokens;
  event.tokens_per_second = rate;
  event.elapsed_seconds = state_.elapsed_seconds;
  event.peak_memory_bytes = allocator(options_.device).stats().peak_total_bytes;
  record(event);
}

/// Renorm over the validation split, whatever eval.mode says: it is what training can afford.
/// False if a signal cut it short.
bool Trainer::evaluate() {
  const EvalOptions options{
      .mode = EvalMode::renorm,
      .max_tokens = config_.train.eval_tokens,
      .batch_size =
          config_.eval.batch_size > 0 ? config_.eval.batch_size : config_.train.micro_batch,
      .progress = [this](const EvalProgress& now) {
        progress_->update(state_.step, fmt::format("evaluating {}/{}", now.done, now.total), false);
        return !StopSignal::requested();
      }};
  const EvalResult result =
      evaluate_lm(session_.model(), config_, dataset_, Split::valid, options, options_.device);
  if (!result.complete) return false;
  progress_->clear();
  spdlog::info("step {}: valid loss {:.4f}, {} over {} {}", state_.step, result.loss,
               metric_.text(result.loss), result.tokens, metric_.tokens());
  MetricsEvent event;
  event.step = state_.step;
  event.split = "valid";
  event.loss = result.loss;
  event.metrics = {{std::string(metric_.key()), metric_.value(result.loss)}};
  event.tokens = state_.tokens;
  event.elapsed_seconds = state_.elapsed_seconds;
  record(event);
  return true;
}

void Trainer::record(const MetricsEvent& event) {
  metrics_->write(event);
  events_->write(event);
}

void Trainer::save() {
  if (metrics_) metrics_->sync();
  state_.optimizer_updates = optimizer_.updates();
  state_.loss_scale = scaler_.scale();
  state_.loss_scale_good_steps = scaler_.good_steps();
  CheckpointData data;
  data.step = state_.step;
  data.model = session_.named_parameters();
  for (const Optimizer::State& state : optimizer_.state()) {
    data.optimizer.push_back({state.name, state.tensor});
  }
  data.state_json = to_json(state_);
  save_checkpoint(folder_->path(), data, config_.train.keep_checkpoints);
  saved_step_ = state_.step;
  spdlog::debug("saved checkpoint of step {}", state_.step);
}

/// Throws ConfigError unless the config continues the run that was saved.
void Trainer::check_state(const RunState& saved, const std::string& path) const {
  const auto same = [&](const char* key, auto before, auto now) {
    if (before == now) return;
    throw ConfigError(
        "{}: the run was started with {} = {}, the config now says {}. The order "
        "of the data depends on it: put it back, or start a new run",
        path, key, before, now);
  };
  same("train.seed", saved.seed, config_.train.seed);
  same("train.batch_size", saved.batch_size, config_.train.batch_size);
  same("data.length", saved.length, config_.data.length);
  if (const std::string difference = data_difference(saved, dataset_.info()); !difference.empty()) {
    throw ConfigError(
        "{}: the run was started with other data: {} has {}. Point data.path to the run's data, or "
        "start a new run",
        path, dataset_.path(), difference);
  }
  if (config_.train.steps < saved.step) {
    throw ConfigError(
        "{}: train.steps is {} but {} steps are done already: raise it, or resume from an earlier "
        "checkpoint",
        path, config_.train.steps, saved.step);
  }
}

void Trainer::restore(const LoadedCheckpoint& checkpoint) {
  RunState saved = run_state_from_json(checkpoint.state_json, checkpoint.path);
  check_state(saved, checkpoint.path);
  session_.load(checkpoint.model);
  for (const Optimizer::State& state : optimizer_.state()) {
    Tensor target = state.tensor;
    checkpoint.optimizer.load_into(state.name, target);
  }
  optimizer_.set_updates(saved.optimizer_updates);
  scaler_.restore(saved.loss_scale, saved.loss_scale_good_steps);
  if (saved.data_checksum.empty()) saved.data_checksum = dataset_.info().checksum;
  state_ = std::move(saved);
  saved_step_ = state_.step;
  resumed_from_ = checkpoint.path;
}

void Trainer::restore_latest() {
  std::vector<std::string> warnings;
  const auto checkpoint = find_latest_checkpoint(folder_->path(), &warnings);
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
  if (checkpoint) restore(*checkpoint);
}

/// Makes `auto` a number: that of the run that is resumed, else what this machine has room for.
/// Another one would sum gradients in another order and draw other dropout masks.
void Trainer::settle_micro_batch() {
  int64_t& micro_batch = config_.train.micro_batch;
  const int64_t saved = state_.micro_batch;
  if (micro_batch == 0 && saved > 0) micro_batch = saved;
  micro_batch = resolve_micro_batch(config_, usable_memory(options_.device));
  if (!resumed_from_.empty() && saved > 0 && saved != micro_batch) {
    spdlog::warn(
        "train.micro_batch is {}, the run had {}: from here on it differs in rounding and dropout "
        "masks from the uninterrupted run",
        micro_batch, saved);
  }
  state_.micro_batch = micro_batch;
}

void Trainer::announce() const {
  const TrainingCost cost = training_cost(config_);
  const MemoryPlan memory = plan_memory(config_, config_.train.micro_batch);
  spdlog::info("ssa {} ({}), {}", version(), git_commit(), backend(options_.device).description());
  spdlog::info("data {}: {} {}, {}", dataset_.path(), dataset_.info().tokens, metric_.tokens(),
               dataset_.info().split_description());
  if (config_.task == Task::word_lm) {
    spdlog::info("vocabulary of {} words", config_.data.vocabulary);
  }
  spdlog::info(
      "{:.2f}M parameters, {:.1f} MFLOP a token forward ({:.2f} of dense with +FT), about "
      "{:.0f} MiB, micro-batch {} of {}",
      static_cast<double>(parameter_count(config_)) * 1e-6, cost.forward_flop_per_token * 1e-6,
      cost.compute_ratio, static_cast<double>(memory.total()) / 0x1p20, config_.train.micro_batch,
      config_.train.batch_size);
}

}  // namespace ssa
