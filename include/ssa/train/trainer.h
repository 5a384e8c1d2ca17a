#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "ssa/config/config.h"
#include "ssa/data/read_ahead.h"
#include "ssa/dist/communicator.h"
#include "ssa/storage/metrics.h"
#include "ssa/storage/run_folder.h"
#include "ssa/storage/tensorboard.h"
#include "ssa/tasks/task.h"
#include "ssa/train/data_wait.h"
#include "ssa/train/initial_weights.h"
#include "ssa/train/log_file.h"
#include "ssa/train/memory_plan.h"
#include "ssa/train/progress.h"
#include "ssa/train/rank_watch.h"
#include "ssa/train/run_state.h"
#include "ssa/train/step_profile.h"
#include "ssa/train/stepper.h"

namespace ssa {

struct TrainOptions {
  std::string run_dir;
  std::string resume = "none";  ///< none, auto, or a checkpoint folder
  Device device = Device::cpu;
  Communicator* ranks = nullptr;  ///< must outlive the trainer; null: one process
  TaskFactory make_task = ssa::make_task;
  std::optional<ProfileOptions> profile = {};
};

enum class TrainOutcome { finished, interrupted };

/// Trains the model of a task, from random weights or those of train.init_from. Writes a run
/// folder: config.yaml, metrics.jsonl, event file, log.txt, checkpoints. On the same machine, with
/// the same numbers of threads and ranks, the same config gives the same bits, whether the run was
/// interrupted or not.
///
/// Every rank has a Trainer, and all make the same calls. Rank 0 writes the folder; the other ranks
/// write only their shards of a sharded optimizer and their logs (logs/rank-N.txt).
class Trainer {
 public:
  /// Opens data and run folder, builds the model, and resumes if requested. Throws ConfigError if
  /// the folder holds a run and resume is `none` or a checkpoint from elsewhere, if the checkpoint
  /// belongs to another run, computes another function or is past train.steps, and if the ranks
  /// differ in config, options or data or cannot share train.batch_size evenly. An error
  /// leaves a run in the folder unchanged.
  Trainer(const Config& config, const TrainOptions& options);
  ~Trainer();

  /// Runs the remaining steps, or until train.patience ends the run, any rank receives a stop
  /// signal, or train.max_hours are over; saves at the end in all cases. After more than
  /// train.max_skipped_steps consecutive non-finite steps, and if it ends in trouble, it rolls back
  /// to the last sound checkpoint and continues with other data. Throws DivergedError if there is
  /// no such checkpoint, or after train.max_rollbacks rollbacks that did not help.
  TrainOutcome train();

  int64_t completed_steps() const { return state_.step; }
  ModelSession& session() { return stepper_.session(); }

 private:
  // trainer_setup.cpp: everything before the first step
  void claim_folder();
  void open_run();
  void open_records();
  std::string latest_checkpoint() const;
  void start_from_weights();
  void restore(const LoadedCheckpoint& checkpoint);
  void restore_average(const LoadedCheckpoint& checkpoint);
  void check_state(const RunState& saved, const std::string& path) const;
  void settle_micro_batch();
  void note_config_changes();
  const Task& task_with_room();
  void require_memory(int64_t examples);
  void announce() const;

  TrainOutcome run();
  void run_steps();
  bool at_end() const;
  bool stopping() const;
  bool asked_to_stop() const;
  bool out_of_time() const;
  int64_t first_example(int64_t step) const;
  StepItem item_of_step(int64_t step) const;
  void step(ReadAhead<StepItem>& items);
  void save_what_is_due();
  void send_next(ReadAhead<StepItem>& items);
  Retention retention() const;
  void save();
  void guard_divergence(const StepResult& result);
  bool in_trouble() const;
  void require_sound_end() const;
  bool roll_back(const DivergedError& reason);
  bool is_logged(int64_t step) const;
  void log_step(const StepResult& result, double seconds);
  void watch_ranks(MetricsEvent& event);
  void record(const MetricsEvent& event);

  // trainer_evaluation.cpp
  void evaluate_what_is_due();
  bool evaluate();
  bool evaluates_average() const;
  bool score_and_draw();
  bool draw_samples();
  void note_score(double score);
  bool is_best() const;
  bool out_of_patience() const;
  void explain_early_stop() const;
  void log_best() const;
  bool leads() const { return ranks_.rank() == 0; }

  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::unique_ptr<Communicator> alone_;  // where no ranks are given
  Communicator& ranks_;
  TrainOptions options_;
  std::unique_ptr<TaskData> data_;
  Config config_;  // resolved: with what depends on data and machine
  std::unique_ptr<Task> task_;
  std::unique_ptr<TrainingSet> training_;
  std::unique_ptr<EvalSet> validation_;
  RunMemory memory_;  // the plan for planned_examples_
  int64_t planned_examples_ = 0;
  Stepper stepper_;
  std::exception_ptr unsent_;  // why the coming step has no inputs
  RunState state_;
  std::string resumed_from_;            // path of the checkpoint; empty for a new run
  std::optional<Config> saved_config_;  // of that checkpoint, where it has one
  std::optional<InitialWeights> initial_weights_;
  std::optional<RunFolder> folder_;  // rank 0 holds the lock
  std::unique_ptr<LogFile> log_;
  int64_t saved_step_ = -1;      // of the newest checkpoint; -1: there is none
  int64_t rollbacks_ = 0;        // since the last save
  bool has_begun_ = false;       // a step, in this process
  double step_seconds_ = 0;      // of the last step
  double save_seconds_ = 0;      // of the longest save
  bool score_is_finite_ = true;  // of the last evaluation
  bool stop_ = false;            // some rank was asked to stop
  RankWatch watch_;
  DataWait data_wait_;
  int straggler_ = -1;                      // the rank that was last said to be slow; -1: none
  std::unique_ptr<MetricsWriter> metrics_;  // rank 0, as the next
  std::unique_ptr<EventWriter> events_;
  std::unique_ptr<Progress> progress_;
  std::optional<StepProfile> profile_;
};

}  // namespace ssa
