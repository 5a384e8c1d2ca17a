#pragma once

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
#include "ssa/train/log_file.h"
#include "ssa/train/progress.h"
#include "ssa/train/rank_watch.h"
#include "ssa/train/run_state.h"
#include "ssa/train/stepper.h"

namespace ssa {

struct TrainOptions {
  std::string run_dir;
  std::string resume = "none";  ///< none, auto, or a checkpoint folder
  Device device = Device::cpu;
  Communicator* ranks = nullptr;  ///< must outlive the trainer; null: one process
  TaskFactory make_task = ssa::make_task;
};

enum class TrainOutcome { finished, interrupted };

/// Trains the model of a task in a run folder: config.yaml, metrics.jsonl, event
/// file, log.txt, checkpoints. The same config gives the same bits on the same machine and numbers
/// of threads and ranks, interrupted and resumed or not.
///
/// Every rank has a Trainer, and all make the same calls. Rank 0 writes the folder, but for the
/// shares of a sharded optimizer and the other ranks' logs (logs/rank-N.txt).
class Trainer {
 public:
  /// Opens data and run folder, builds the model, resumes if asked to. Throws ConfigError if the
  /// folder holds a run and resume is `none` or a checkpoint from elsewhere, if the checkpoint is
  /// of another run or past train.steps, if the ranks cannot share train.batch_size evenly, and
  /// what its parts throw; a run in the folder is then untouched.
  Trainer(const Config& config, const TrainOptions& options);
  ~Trainer();

  /// Runs the remaining steps, or until a StopSignal on any rank; saves at the end in both cases.
  /// After train.max_skipped_steps non-finite steps in a row it goes back to the last checkpoint
  /// and on with other data; throws DivergedError when that has not helped train.max_rollbacks
  /// times, or if there is no checkpoint.
  TrainOutcome train();

  int64_t completed_steps() const { return state_.step; }
  ModelSession& session() { return stepper_.session(); }

 private:
  // trainer_setup.cpp: everything before the first step
  void claim_folder();
  void open_run();
  void open_records();
  std::string latest_checkpoint() const;
  void restore(const LoadedCheckpoint& checkpoint);
  void check_state(const RunState& saved, const std::string& path) const;
  void settle_micro_batch();
  void announce() const;
  std::string planned_memory() const;

  TrainOutcome run();
  void run_steps();
  bool stopping() const;
  StepItem item_of_step(int64_t step) const;
  void step(ReadAhead<StepItem>& items);
  void send_next(ReadAhead<StepItem>& items);
  void save();
  void guard_divergence(const StepResult& result);
  bool roll_back(const DivergedError& reason);
  void log_step(const StepResult& result, double seconds);
  void watch_ranks(MetricsEvent& event);
  bool evaluate();
  void record(const MetricsEvent& event);
  bool leads() const { return ranks_.rank() == 0; }

  std::unique_ptr<Communicator> alone_;  // where no ranks are given
  Communicator& ranks_;
  TrainOptions options_;
  std::unique_ptr<TaskData> data_;
  Config config_;  // with what was settled when data and machine were seen
  std::unique_ptr<Task> task_;
  std::unique_ptr<TrainingSet> training_;
  std::unique_ptr<EvalSet> validation_;
  Stepper stepper_;
  std::exception_ptr unsent_;  // why the coming step has no inputs
  RunState state_;
  std::string resumed_from_;         // path of the checkpoint; empty for a new run
  std::optional<RunFolder> folder_;  // rank 0 holds the lock
  std::unique_ptr<LogFile> log_;
  int64_t saved_step_ = -1;
  int64_t rollbacks_ = 0;  // since the last save
  bool stop_ = false;      // some rank was asked to stop
  RankWatch watch_;
  int straggler_ = -1;                      // the rank that was last said to be slow; -1: none
  std::unique_ptr<MetricsWriter> metrics_;  // rank 0, as the next
  std::unique_ptr<EventWriter> events_;
  std::unique_ptr<Progress> progress_;
};

}  // namespace ssa
