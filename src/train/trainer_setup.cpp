// What a Trainer does before its first step: it claims the run folder, resumes, resolves what
// depends on machine and ranks, and logs it.

#include <algorithm>
#include <filesystem>
#include <numeric>

#include <spdlog/spdlog.h>

#include "ssa/core/allocator.h"
#include "ssa/core/out_of_memory.h"
#include "ssa/core/system_limits.h"
#include "ssa/core/valid_neighbours.h"
#include "ssa/core/version.h"
#include "ssa/dist/agreement.h"
#include "ssa/dist/together.h"
#include "ssa/storage/file_io.h"
#include "ssa/tasks/cost.h"
#include "ssa/tasks/rank_draws.h"
#include "ssa/train/checkpoint_config.h"
#include "ssa/train/memory_plan.h"
#include "ssa/train/rank_checkpoint.h"
#include "ssa/train/rank_share.h"
#include "ssa/train/trainer.h"

#include "train/start_record.h"
#include "train/with_errors_in.h"

namespace ssa {

namespace {

/// What a run needs beside its plan: data, threads, and libraries that do not check whether their
/// allocations succeed.
constexpr int64_t kBesidePlan = int64_t{64} << 20;

/// `--resume` names a checkpoint.
bool names_checkpoint(const std::string& resume) { return resume != "none" && resume != "auto"; }

LoadedCheckpoint named_checkpoint(const std::string& resume) {
  if (!path_exists(resume)) {
    throw CheckpointError(
        "--resume {}: there is no such checkpoint. Give auto (the newest one of the run folder), "
        "none, or a checkpoint's folder",
        resume);
  }
  return open_checkpoint(resume);
}

bool lies_in(const std::string& checkpoint, const std::string& folder) {
  std::error_code error;  // set if the folder does not exist
  const auto parent = std::filesystem::canonical(checkpoint, error).parent_path();
  return !error && std::filesystem::equivalent(parent, folder, error);
}

/// Throws ConfigError if the folder holds the metrics or checkpoints of another run: continuing
/// from elsewhere would delete them.
void refuse_existing_run(const RunFolder& folder, const std::string& resume) {
  if (!path_exists(folder.metrics_path()) && !has_checkpoints(folder.path())) return;
  if (resume == "none") {
    throw ConfigError(
        "{} holds a run already: continue it with --resume auto, or give another --run-dir",
        folder.path());
  }
  if (names_checkpoint(resume) && !lies_in(resume, folder.checkpoints_path())) {
    throw ConfigError(
        "{} holds a run already, and {} is not one of its checkpoints: give another --run-dir to "
        "branch off, or continue this run with --resume auto",
        folder.path(), resume);
  }
}

/// The checkpoint that `resume` means, before the run folder is locked; nothing if there is none.
std::optional<LoadedCheckpoint> checkpoint_to_resume(const TrainOptions& options) {
  if (options.resume == "none") return std::nullopt;
  if (names_checkpoint(options.resume)) return named_checkpoint(options.resume);
  return find_latest_checkpoint(options.run_dir, nullptr);
}

std::unique_ptr<TaskData> open_training_data(const Config& config, const TrainOptions& options) {
  std::optional<LoadedCheckpoint> found;
  return open_data(options.make_task, config, [&] {
    found = checkpoint_to_resume(options);
    return found ? &*found : nullptr;
  });
}

/// The data, once it is clear that all ranks are about to train the same run. Throws ConfigError on
/// all of them if they are not.
std::unique_ptr<TaskData> open_agreed_data(Communicator& ranks, const Config& config,
                                           const TrainOptions& options) {
  std::unique_ptr<TaskData> data = open_training_data(config, options);
  const DataIdentity identity = data->identity();
  Statements own = flatten_config(config);
  own.insert(own.end(), {{"run folder", stated_path(options.run_dir)},
                         {"--resume", names_checkpoint(options.resume) ? stated_path(options.resume)
                                                                       : options.resume},
                         {"device", std::string(name(options.device))},
                         {"size of the data", fmt::format("{} bytes", identity.bytes)},
                         {"checksum of the data", identity.checksum}});
  require_agreement(ranks, own);
  return data;
}

/// The config, resolved for this data. Throws ConfigError if the ranks cannot share the batch
/// evenly.
Config checked_config(const Config& config, const TaskData& data, int ranks) {
  share_of_rank(config, ranks);
  Config resolved = counted_in_steps(data.settled(config), data);
  resolved.train.init_from = stated_path(config.train.init_from);
  return resolved;
}

void warn_of_no_lock(const RunFolder& folder) {
  if (folder.locked()) return;
  spdlog::warn(
      "{} is on a file system without locks: nothing keeps a second process from training in it at "
      "the same time, so make sure that there is none",
      folder.path());
}

/// Without a checkpoint a run begins again, and would write over the records of what it had done.
void keep_old_records(const RunFolder& folder) {
  const std::string path = folder.metrics_path();
  if (!path_exists(path) || InputFile(path).bytes() == 0) return;
  int number = 1;
  const auto kept = [&] { return fmt::format("{}/metrics-{}.jsonl", folder.path(), number); };
  while (path_exists(kept())) ++number;
  rename_path(path, kept());
  spdlog::warn(
      "{} has no checkpoint: the run begins again. What its metrics.jsonl held is in {} now",
      folder.path(), kept());
}

/// Throws ConfigError for weights that ssa-convert has imported or exported.
void require_optimizer_state(const LoadedCheckpoint& checkpoint) {
  if (!checkpoint.optimizer.names().empty()) return;
  throw ConfigError(
      "{} holds weights without the state of an optimizer, as ssa-convert makes them: there is no "
      "training to resume. Start one from these weights, in another run folder: --set "
      "train.init_from={}",
      checkpoint.path, checkpoint.path);
}

/// adam and adamw keep the same state, sgd another. Throws ConfigError if the saved one cannot be
/// used.
void require_same_optimizer_state(const Config& there, const Config& now, const std::string& path) {
  const OptimizerKind before = there.train.optimizer.kind, wanted = now.train.optimizer.kind;
  if ((before == OptimizerKind::sgd) == (wanted == OptimizerKind::sgd)) return;
  throw ConfigError(
      "{}: the run was trained with train.optimizer.kind = {}, the config now says {}, which has "
      "no "
      "use for the state that was saved: put it back, or start a new run",
      path, name(before), name(wanted));
}

/// A run that goes on began with the weights that its first config named.
void keep_origin(const Config& there, TrainConfig& now) {
  if (!now.init_from.empty() && now.init_from != there.train.init_from) {
    spdlog::warn("train.init_from = {} has no effect: the run goes on from its own checkpoint",
                 now.init_from);
  }
  now.init_from = there.train.init_from;
  now.init_skip = there.train.init_skip;
}

/// What an older checkpoint does not say of its data, those that are open now say. Their path is
/// where they are now.
DataIdentity completed(const DataIdentity& saved, DataIdentity now) {
  if (!saved.checksum.empty()) now.checksum = saved.checksum;
  if (!saved.vocabulary_checksum.empty()) now.vocabulary_checksum = saved.vocabulary_checksum;
  return now;
}

void note_other_ranks(const Config& config, int64_t step, int64_t before, int64_t now) {
  const bool other_draws = draws_depend_on_ranks(config, step);
  spdlog::log(other_draws ? spdlog::level::warn : spdlog::level::info,
              "the number of ranks was {} and is now {}: the data go on where they were, but {}, "
              "so that from here on the run differs from the uninterrupted one",
              before, now,
              other_draws ? "each rank draws source plans of its own"
                          : "gradients are summed in another order");
}

/// What an evaluation would decide does not happen where none is possible.
void warn_of_no_validation(const TrainConfig& train) {
  for (const auto& [key, is_set] :
       {std::pair("patience", train.patience > 0), std::pair("keep_best", train.keep_best),
        std::pair("evaluate_first", train.evaluate_first)}) {
    if (is_set) spdlog::warn("train.{} has no effect: the data have no valid split", key);
  }
}

}  // namespace

Trainer::Trainer(const Config& config, const TrainOptions& options)
    : alone_(options.ranks ? nullptr : make_single_process()),
      ranks_(options.ranks ? *options.ranks : *alone_),
      options_(options),
      data_(open_agreed_data(ranks_, config, options)),
      config_(checked_config(config, *data_, ranks_.size())),
      task_(options.make_task(config_)),
      training_(data_->training(config_)),
      stepper_(task_with_room(), options.device, &ranks_),
      state_(initial_state(config, data_->identity())),
      watch_(ranks_) {
  ranks_.set_timeout(std::chrono::duration<double>(config_.distributed.timeout_seconds));
  // Checks come before the folder is made: a wrong config or checkpoint leaves no folder behind.
  if (names_checkpoint(options.resume)) restore(named_checkpoint(options.resume));
  if (!config_.train.init_from.empty()) start_from_weights();
  together(ranks_, "claiming the run folder", [this] { claim_folder(); });
  log_ = std::make_unique<LogFile>(
      leads() ? folder_->log_path()
              : fmt::format("{}/logs/rank-{}.txt", options_.run_dir, ranks_.rank()));
  with_errors_in(*log_, [this] { open_run(); });
}

Trainer::~Trainer() = default;

void Trainer::claim_folder() {
  if (!leads()) return;
  folder_.emplace(options_.run_dir);
  refuse_existing_run(*folder_, options_.resume);
  if (ranks_.size() > 1) make_directories(folder_->path() + "/logs");
}

/// Loads the weights of train.init_from, unless the run goes on from a checkpoint of its own.
void Trainer::start_from_weights() {
  const std::string& from = config_.train.init_from;
  refuse_own_weights(from, options_.run_dir);
  const bool goes_on =
      !resumed_from_.empty() || (options_.resume == "auto" && has_checkpoints(options_.run_dir));
  if (ranks_.any(goes_on, "whether there is something to resume")) return;
  together(ranks_, "loading the weights of train.init_from", [&] {
    initial_weights_ = load_initial_weights(config_, data_->identity(), stepper_.session());
  });
  require_agreement(ranks_, {{"train.init_from", initial_weights_->path},
                             {"checksum of train.init_from", initial_weights_->checksum}});
  if (WeightAverage* const average = stepper_.average()) average->restart();
  state_.init_from = initial_weights_->path;
  state_.init_checksum = initial_weights_->checksum;
}

/// Changes nothing of a run in the folder before it is clear that this run can continue it.
void Trainer::open_run() {
  together(ranks_, "looking at the run folder", [this] {
    if (path_exists(options_.run_dir)) return;
    throw ConfigError(
        "{} cannot be seen by this rank: the run folder must be on a file system that all ranks "
        "share",
        options_.run_dir);
  });
  if (options_.resume == "auto") {
    const std::string latest = latest_checkpoint();
    if (!latest.empty()) restore(open_checkpoint(latest));
  }
  if (leads()) warn_of_no_lock(*folder_);
  if (!resumed_from_.empty()) {
    spdlog::info("resumed from {} (step {})", resumed_from_, state_.step);
  } else if (initial_weights_) {
    spdlog::info("{}", initial_weights_->report);
    if (!initial_weights_->warning.empty()) spdlog::warn("{}", initial_weights_->warning);
  }
  settle_micro_batch();
  note_config_changes();
  if (leads()) {
    for (const CompanionFile& file : data_->companions()) {
      write_file_atomically(folder_->path() + "/" + file.name, file.content);
    }
    folder_->write_config(dump_config(config_));
    write_file_atomically(
        options_.run_dir + "/start.json",
        start_record(backend(options_.device).description(), ranks_.size(), data_->identity()));
    folder_->write_config_changes(state_.config_changes.empty() ? ""
                                                                : to_json(state_.config_changes));
    // A run that was at its end may save no more.
    if (options_.resume == "auto" && !resumed_from_.empty()) {
      folder_->finish_save(resumed_from_, retention());
    }
  }
  // Makes the named checkpoint the run's newest, before open_records() removes the metrics of later
  // steps: a stopped run then resumes from it, not from the branch that was left.
  if (names_checkpoint(options_.resume)) save();
  open_records();
}

/// Logs and keeps the differences between the config and the one of the checkpoint.
void Trainer::note_config_changes() {
  if (!saved_config_) return;
  keep_origin(*saved_config_, config_.train);
  std::string text;
  for (const ConfigDifference& difference : config_differences(*saved_config_, config_)) {
    text += "\n  " + to_text(difference);
    state_.config_changes.push_back({state_.step, difference});
  }
  if (!text.empty() && leads()) {
    spdlog::warn("the config is not the one that {} was saved under:{}", resumed_from_, text);
  }
}

/// Opens metrics and events, and removes what was recorded after the present step.
void Trainer::open_records() {
  if (!leads()) return;
  if (resumed_from_.empty()) keep_old_records(*folder_);
  const int64_t last_line = resumed_from_.empty() ? -1 : state_.step;
  folder_->remove_samples_after(last_line);
  metrics_ = std::make_unique<MetricsWriter>(folder_->metrics_path(), last_line);
  events_ = std::make_unique<EventWriter>(folder_->path(), last_line);
  events_->hyperparameters(flatten_config(config_));
}

/// Path of the run's newest valid checkpoint, as rank 0 finds it; empty: there is none.
std::string Trainer::latest_checkpoint() const {
  std::string path;
  together(ranks_, "finding the newest checkpoint", [&] {
    if (!leads()) return;
    std::vector<std::string> warnings;
    const auto checkpoint = find_latest_checkpoint(folder_->path(), &warnings);
    for (const std::string& warning : warnings) spdlog::warn("{}", warning);
    if (checkpoint) path = checkpoint->path;
  });
  return ranks_.broadcast(path, "the newest checkpoint");
}

/// Throws ConfigError unless the config continues the run that was saved.
void Trainer::check_state(const RunState& saved, const std::string& path) const {
  const auto same = [&](const char* key, auto before, auto now) {
    if (before == now) return;
    throw ConfigError(
        "{}: the run was started with {} = {}, the config now says {}. The order of the data "
        "depends on it: put it back, or start a new run",
        path, key, before, now);
  };
  same("train.seed", saved.seed, config_.train.seed);
  same("train.batch_size", saved.batch_size, config_.train.batch_size);
  same("data.length", saved.length, config_.data.length);
  if (const std::string difference = data_difference(saved.data, data_->identity());
      !difference.empty()) {
    throw ConfigError(
        "{}: the run was started with other data: {} has {}. Point data.path to the run's data, or "
        "start a new run",
        path, data_->path(), difference);
  }
  if (config_.train.steps < saved.step) {
    throw ConfigError(
        "{}: train.steps is {} but {} steps are done already: raise it, or resume from an earlier "
        "checkpoint",
        path, config_.train.steps, saved.step);
  }
}

void Trainer::restore(const LoadedCheckpoint& checkpoint) {
  require_optimizer_state(checkpoint);
  RunState saved = run_state_of(checkpoint);
  check_state(saved, checkpoint.path);
  saved_config_ = config_of(checkpoint);
  if (saved_config_) {
    require_same_function(*saved_config_, config_, checkpoint.path);
    require_same_optimizer_state(*saved_config_, config_, checkpoint.path);
  }
  stepper_.session().load(checkpoint.model);
  stepper_.session().require_finite(checkpoint.path);
  restore_average(checkpoint);
  load_optimizer_state(checkpoint, stepper_.optimizer());
  stepper_.optimizer().set_updates(saved.optimizer_updates);
  stepper_.scaler().restore(saved.loss_scale, saved.loss_scale_good_steps);
  saved.data = completed(saved.data, data_->identity());
  state_ = std::move(saved);
  saved_step_ = state_.step;
  score_is_finite_ = !checkpoint.in_trouble || state_.consecutive_skips > 0;
  resumed_from_ = checkpoint.path;
}

/// The average of the weights, which the config may have turned on or off since the checkpoint.
void Trainer::restore_average(const LoadedCheckpoint& checkpoint) {
  WeightAverage* const average = stepper_.average();
  if (average && checkpoint.average) {
    average->load(*checkpoint.average);
    for (const NamedTensor& tensor : average->named()) require_finite(tensor, checkpoint.path);
    return;
  }
  if (average) {
    average->restart();
    spdlog::info(
        "{} has no average of the weights: with train.ema_decay = {} now, it starts from the "
        "weights of step {}",
        checkpoint.path, config_.train.ema_decay, checkpoint.step);
  } else if (checkpoint.average) {
    spdlog::info("{} has an average of the weights, which is dropped: train.ema_decay is 0 now",
                 checkpoint.path);
  }
}

/// Resolves train.micro_batch = auto: to the value of the resumed run, otherwise to what the
/// machines have memory for. It must divide a rank's share of the batch. Another value sums
/// gradients in another order and draws other dropout masks.
void Trainer::settle_micro_batch() {
  int64_t& micro_batch = config_.train.micro_batch;
  const int64_t share = config_.train.batch_size / ranks_.size();
  const int64_t saved = state_.micro_batch, saved_ranks = state_.ranks;
  if (micro_batch == 0 && saved > 0) micro_batch = std::gcd(saved, share);
  if (micro_batch == 0) {
    const int64_t memory = options_.device == Device::cuda
                               ? usable_memory(options_.device)
                               : std::min(usable_memory() / ranks_.local_size(), free_addresses());
    const auto own = static_cast<double>(resolve_micro_batch(*task_, memory, ranks_.size()));
    const std::vector<double> all = ranks_.gather(std::vector<double>{own}, "micro-batch sizes");
    micro_batch = static_cast<int64_t>(*std::min_element(all.begin(), all.end()));
  }
  micro_batch = std::min(micro_batch, share);
  if (share % micro_batch != 0) {
    throw ConfigError(
        "train.micro_batch: {} does not divide the {} {} that each of {} ranks has of the batch; "
        "nearest valid: {}",
        micro_batch, share, task_->traits().examples, ranks_.size(),
        nearest_divisors(share, micro_batch));
  }
  if (!resumed_from_.empty() && saved > 0 && saved != micro_batch) {
    spdlog::warn(
        "train.micro_batch is {}, the run had {}: from here on it differs in rounding and dropout "
        "masks from the uninterrupted run",
        micro_batch, saved);
  }
  if (!resumed_from_.empty() && saved_ranks != ranks_.size()) {
    note_other_ranks(config_, state_.step, saved_ranks, ranks_.size());
  }
  state_.micro_batch = micro_batch;
  state_.ranks = ranks_.size();
  require_memory(micro_batch);
}

/// The task, once there is memory for the run at the configured micro-batch, or at the smallest one
/// if that is `auto`.
const Task& Trainer::task_with_room() {
  const int64_t share = config_.train.batch_size / ranks_.size();
  require_memory(std::clamp<int64_t>(config_.train.micro_batch, 1, share));
  return *task_;
}

/// Plans the memory, and throws OutOfMemoryError if the host does not have what is still needed.
void Trainer::require_memory(int64_t examples) {
  if (examples != planned_examples_) {
    memory_ = plan_memory(*task_, examples, ranks_.size());
    planned_examples_ = examples;
    remember_memory_plan(fmt::format("Planned at micro-batch {}: {}; the {} has {:.0f} MiB.",
                                     examples, memory_.text(),
                                     options_.device == Device::cuda ? "GPU" : "machine",
                                     static_cast<double>(usable_memory(options_.device)) / 0x1p20));
  }
  if (options_.device == Device::cuda) return;  // its own allocator says when there is no more
  const MemoryStats held = host_allocator().stats();
  const int64_t needed =
      std::max<int64_t>(0, memory_.peak().total() - held.total_bytes - held.cached_bytes) +
      kBesidePlan;
  const auto require = [&](int64_t bytes, std::string_view whose) {
    if (needed <= bytes) return;
    throw OutOfMemoryError(
        fmt::format("out of memory: the run needs {:.0f} MiB, but {} {:.0f} MiB. "
                    "{}{}",
                    static_cast<double>(needed) / 0x1p20, whose,
                    static_cast<double>(bytes) / 0x1p20, kLowerMemory, remembered_memory_plan()));
  };
  // The ranks of a machine share its memory. What is free changes as others of them take theirs.
  const int ranks = ranks_.local_size();
  if (ranks == 1) require(free_memory(), "the machine or its control group has only");
  if (ranks > 1) require(usable_memory() / ranks, "each rank's part of the machine is");
  require(free_addresses(), "the limit of address space (ulimit -v) leaves only");
}

void Trainer::announce() const {
  const TrainingCost cost = training_cost(config_, options_.make_task);
  spdlog::info("ssa {} ({}), {}", version(), git_commit(), backend(options_.device).description());
  if (ranks_.size() > 1) spdlog::info("{}", ranks_.description());
  for (const std::string& line : data_->description()) spdlog::info("{}", line);
  if (!data_->has(Split::valid)) warn_of_no_validation(config_.train);
  spdlog::info(
      "{:.2f}M parameters, {:.1f} MFLOP per {} forward ({:.2f} of dense{}), about "
      "{:.0f} MiB, micro-batch {} of {}",
      static_cast<double>(stepper_.session().parameters().count()) * 1e-6,
      cost.forward_flop_per_token * 1e-6, task_->traits().unit, cost.compute_ratio,
      config_.ssa.finetune_fraction > 0 ? " with +FT" : "",
      static_cast<double>(memory_.peak().total()) / 0x1p20, config_.train.micro_batch,
      config_.train.batch_size);
  if (evaluates_average()) {
    spdlog::info("evaluations use a moving average of the weights (train.ema_decay = {})",
                 config_.train.ema_decay);
  }
}

}  // namespace ssa
