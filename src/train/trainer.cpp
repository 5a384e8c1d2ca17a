#include "ssa/train/trainer.h"

#include <chrono>
#include <cmath>
#include <filesystem>

#include <nlohmann/json.hpp>
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

Config resolved(Config config) {
  config.train.micro_batch = resolve_micro_batch(config);
  return config;
}

/// The folder's config.yaml says that a run lives there already.
void refuse_existing_run(const RunFolder& folder, const std::string& resume) {
  if (resume == "none" && std::filesystem::exists(folder.metrics_path())) {
    throw ConfigError(
        "{} holds a run already: continue it with --resume auto, or give another "
        "--run-dir",
        folder.path());
  }
}

}  // namespace

Trainer::Trainer(const Config& config, const TrainOptions& options)
    : config_(resolved(config)),
      options_(options),
      dataset_(ByteDataset::open(config.data.path)),
      session_(config_, options.device),
      optimizer_(config_.train.optimizer, session_.parameters()),
      folder_(options.run_dir) {
  refuse_existing_run(folder_, options.resume);
  log_ = std::make_unique<LogFile>(folder_.log_path());
  if (options.resume != "none") resume(options.resume);
  folder_.write_config(dump_config(config_));
  const int64_t last_line = saved_step_ >= 0 ? state_.step : -1;
  metrics_ = std::make_unique<MetricsWriter>(folder_.metrics_path(), last_line);
  events_ = std::make_unique<EventWriter>(folder_.path(), last_line);
}

Trainer::~Trainer() = default;

TrainOutcome Trainer::train() {
  announce();
  const TrainConfig& train = config_.train;
  LmLoader loader(dataset_, Split::train,
                  LmSampler(train.seed, dataset_.split_size(Split::train), config_.data.length),
                  train.batch_size, state_.step, train.steps);
  PlanQueue plans([this](int64_t step) { return plans_of_step(config_, step); }, state_.step,
                  train.steps);
  progress_ = std::make_unique<Progress>("step", train.steps, state_.step);

  if (state_.evaluation_due && evaluate()) {
    state_.evaluation_due = false;
    save();  // or a run killed before its next checkpoint would be scored here twice
  }
  while (state_.step < train.steps && !StopSignal::requested()) {
    const auto started = Clock::now();
    if (state_.step == finetune_start(config_)) spdlog::info("+FT: dense attention from here on");
    const StepResult result = lm_train_step(config_, session_, optimizer_, state_.step,
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
  if (saved_step_ != state_.step || state_.evaluation_due) save();
  progress_->clear();
  const bool finished = state_.step == train.steps && !state_.evaluation_due;
  spdlog::info("{} at step {} after {} of training; run folder {}",
               finished ? "done" : "stopped and saved", state_.step,
               format_duration(state_.elapsed_seconds), folder_.path());
  return finished ? TrainOutcome::finished : TrainOutcome::interrupted;
}

void Trainer::guard_divergence(const StepResult& result) {
  if (result.updated) {
    state_.skipped_in_a_row = 0;
    return;
  }
  ++state_.skipped_in_a_row;
  progress_->clear();
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
                    fmt::format("loss {:.4f}  {:.4f} bits/byte  lr {:.2e}  {:.0f} tokens/s",
                                result.loss, bits(result.loss), result.learning_rate, rate),
                    logged);
  if (!logged) return;
  MetricsEvent event;
  event.step = state_.step;
  event.split = "train";
  event.loss = result.loss;
  event.metrics = {{"bits_per_byte", bits(result.loss)}};
  event.lr = result.learning_rate;
  event.grad_norm = result.grad_norm;
  event.tokens = state_.tokens;
  event.tokens_per_second = rate;
  event.elapsed_seconds = state_.elapsed_seconds;
  event.peak_memory_bytes = host_allocator().stats().peak_total_bytes;
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
      .progress = [this](int64_t done, int64_t total) {
        progress_->update(state_.step, fmt::format("evaluating {}/{}", done, total), false);
        return !StopSignal::requested();
      }};
  const EvalResult result =
      evaluate_lm(session_.model(), config_, dataset_, Split::valid, options, options_.device);
  if (!result.complete) return false;
  progress_->clear();
  spdlog::info("step {}: valid loss {:.4f}, {:.4f} bits/byte over {} bytes", state_.step,
               result.loss, bits(result.loss), result.tokens);
  MetricsEvent event;
  event.step = state_.step;
  event.split = "valid";
  event.loss = result.loss;
  event.metrics = {{"bits_per_byte", bits(result.loss)}};
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
  metrics_->sync();
  CheckpointData data;
  data.step = state_.step;
  data.model = session_.named_parameters();
  for (const Optimizer::State& state : optimizer_.state()) {
    data.optimizer.push_back({state.name, state.tensor});
  }
  data.state_json = state_json();
  save_checkpoint(folder_.path(), data, config_.train.keep_checkpoints);
  saved_step_ = state_.step;
  spdlog::debug("saved checkpoint of step {}", state_.step);
}

std::string Trainer::state_json() const {
  return nlohmann::json{{"step", state_.step},
                        {"tokens", state_.tokens},
                        {"elapsed_seconds", state_.elapsed_seconds},
                        {"skipped_in_a_row", state_.skipped_in_a_row},
                        {"evaluation_due", state_.evaluation_due},
                        {"optimizer_updates", optimizer_.updates()},
                        {"seed", config_.train.seed},
                        {"batch_size", config_.train.batch_size},
                        {"length", config_.data.length},
                        {"data_bytes", dataset_.info().bytes}}
      .dump(2);
}

void Trainer::check_state(const std::string& text, const std::string& path) {
  try {
    const auto json = nlohmann::json::parse(text);
    const auto same = [&](const char* key, const char* config_key, auto configured) {
      const auto saved = json.at(key).get<decltype(configured)>();
      if (saved != configured) {
        throw ConfigError(
            "{}: the run was started with {} = {}, the config now says {}. The order "
            "of the data depends on it: put it back, or start a new run",
            path, config_key, saved, configured);
      }
    };
    same("seed", "train.seed", config_.train.seed);
    same("batch_size", "train.batch_size", config_.train.batch_size);
    same("length", "data.length", config_.data.length);
    same("data_bytes", "the size of the data", dataset_.info().bytes);
    state_.step = json.at("step").get<int64_t>();
    state_.tokens = json.at("tokens").get<int64_t>();
    state_.elapsed_seconds = json.at("elapsed_seconds").get<double>();
    state_.skipped_in_a_row = json.at("skipped_in_a_row").get<int64_t>();
    state_.evaluation_due = json.at("evaluation_due").get<bool>();
    optimizer_.set_updates(json.at("optimizer_updates").get<int64_t>());
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError("{}/state.json: {}", path, error.what());
  }
}

void Trainer::restore(const LoadedCheckpoint& checkpoint) {
  check_state(checkpoint.state_json, checkpoint.path);
  session_.load(checkpoint.model);
  for (const Optimizer::State& state : optimizer_.state()) {
    Tensor target = state.tensor;
    checkpoint.optimizer.load_into(state.name, target);
  }
  saved_step_ = state_.step;
  spdlog::info("resumed from {} (step {})", checkpoint.path, state_.step);
}

void Trainer::resume(const std::string& from) {
  if (from != "auto") return restore(open_checkpoint(from));
  std::vector<std::string> warnings;
  const auto checkpoint = find_latest_checkpoint(folder_.path(), &warnings);
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
  if (checkpoint) restore(*checkpoint);
}

void Trainer::announce() const {
  const TrainingCost cost = training_cost(config_);
  const MemoryPlan memory = plan_memory(config_, config_.train.micro_batch);
  spdlog::info("ssa {} ({}), {}", version(), git_commit(), backend(options_.device).description());
  spdlog::info("data {}: {} bytes, {}", dataset_.path(), dataset_.info().bytes,
               dataset_.info().split_description());
  spdlog::info(
      "{:.2f}M parameters, {:.1f} MFLOP a token forward ({:.2f} of dense with +FT), about "
      "{:.0f} MiB, micro-batch {} of {}",
      static_cast<double>(parameter_count(config_)) * 1e-6, cost.forward_flop_per_token * 1e-6,
      cost.compute_ratio, static_cast<double>(memory.total()) / 0x1p20, config_.train.micro_batch,
      config_.train.batch_size);
}

}  // namespace ssa
