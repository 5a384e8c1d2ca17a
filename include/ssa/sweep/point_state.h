#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

// What became of a point is read from its run folder, never from memory or a data base: a sweep
// may be killed at any moment, and points may be trained by hand or by another machine.

/// The run folder's file with what the programs that were run there printed.
inline const std::string kSweepLogName = "sweep-log.txt";

struct PointFailure {
  std::string program;  ///< "ssa-train"
  int code = 0;         ///< exit code; 128 + n: killed by signal n
};

enum class PointState {
  waiting,   ///< nothing done yet, or stopped in between: `step` says how far
  running,   ///< a process trains there
  trained,   ///< all steps done and scored on the validation split; an evaluation may be missing
  finished,  ///< everything that was asked for is there
  failed     ///< a program ended with an error, and was not run again since
};
std::string_view name(PointState state);

struct PointStatus {
  PointState state = PointState::waiting;
  bool trained = false;           ///< all steps are done, whatever came after
  int64_t step = 0;               ///< last one in metrics.jsonl
  std::optional<double> loss;     ///< of the last line in metrics.jsonl
  std::optional<double> score;    ///< the task's metric, of that line
  std::vector<EvalMode> missing;  ///< of the evaluations that were asked for
  std::optional<PointFailure> failure;
};

/// Reads the state of a run folder, which need not exist. `evaluations`: what is to be done on the
/// test split after training. Never throws for what it finds there: what cannot be read counts as
/// missing.
PointStatus read_point_status(const std::string& run_dir, const Config& config,
                              const std::vector<EvalMode>& evaluations);

/// The task's metric that ssa-eval found on the test split; nothing if there is no such result.
std::optional<double> test_score(const std::string& run_dir, TaskKind task, EvalMode mode);

/// Leaves a note of a failure in the run folder, or takes it away.
void record_failure(const std::string& run_dir, const PointFailure& failure);
void clear_failure(const std::string& run_dir);

/// In what the run in a folder was started with another config, "key: there …, now …" each; none
/// if nothing is there. Keys that do not change the weights, such as train.log_every, may differ.
std::vector<std::string> config_differences(const std::string& run_dir, const Config& config);

/// The last `lines` lines of a text file that say something; empty if it cannot be read.
std::vector<std::string> last_lines(const std::string& path, size_t lines);

}  // namespace ssa
