#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ssa/config/config.h"
#include "ssa/data/lm_loader.h"
#include "ssa/eval/evaluate_lm.h"
#include "ssa/sampling/plan_queue.h"
#include "ssa/storage/metrics.h"
#include "ssa/storage/run_folder.h"
#include "ssa/storage/tensorboard.h"
#include "ssa/train/lm_session.h"
#include "ssa/train/lm_step.h"
#include "ssa/train/log_file.h"
#include "ssa/train/progress.h"
#include "ssa/train/run_state.h"

namespace ssa {

struct TrainOptions {
  std::string run_dir;
  std::string resume = "none";  ///< none, auto, or a checkpoint folder
  Device device = Device::cpu;
};

enum class TrainOutcome { finished, interrupted };

/// Trains a language model, of bytes or words, in a run folder: config.yaml, metrics.jsonl, event
/// file, log.txt, checkpoints. The same config gives the same bits on the same machine and number
/// of threads, interrupted and resumed or not.
class Trainer {
 public:
  /// Opens data and run folder, builds the model, resumes if asked to. Throws ConfigError if the
  /// folder holds a run and resume is `none` or a checkpoint from elsewhere, if the checkpoint is
  /// of another run or past train.steps, and what its parts throw; a run in the folder is then
  /// untouched.
  Trainer(const Config& config, const TrainOptions& options);
  ~Trainer();

  /// Runs the remaining steps, or until a StopSignal; saves at the end in both cases. Throws
  /// DivergedError after train.max_skipped_steps non-finite steps in a row.
  TrainOutcome train();

  int64_t completed_steps() const { return state_.step; }
  LmSession& session() { return session_; }

 private:
  void open_run();
  void restore_latest();
  void restore(const LoadedCheckpoint& checkpoint);
  void check_state(const RunState& saved, const std::string& path) const;
  void settle_micro_batch();
  TrainOutcome run();
  void step(LmLoader& loader, PlanQueue& plans);
  void save();
  void guard_divergence(const StepResult& result);
  void log_step(const StepResult& result, double seconds);
  bool evaluate();
  void record(const MetricsEvent& event);
  void announce() const;
  std::string planned_memory() const;

  TokenDataset dataset_;
  Config config_;  // with what was settled when data and machine were seen
  LmMetric metric_;
  TrainOptions options_;
  LmSampler sampler_;
  LmSession session_;
  Optimizer optimizer_;
  LossScaler scaler_;
  RunState state_;
  std::string resumed_from_;  // path of the checkpoint; empty for a new run
  std::optional<RunFolder> folder_;
  std::unique_ptr<LogFile> log_;
  int64_t saved_step_ = -1;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<EventWriter> events_;
  std::unique_ptr<Progress> progress_;
};

}  // namespace ssa
