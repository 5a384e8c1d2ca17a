#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/data/dataset_info.h"
#include "ssa/tasks/task.h"

namespace ssa {

// The state of a point is always read from its run folder: a sweep may be killed at any moment, and
// points may be trained by hand or by another machine.

/// The file in the run folder with the output of the programs that ran there.
inline constexpr std::string_view kSweepLogName = "sweep-log.txt";

struct PointFailure {
  std::string program;  ///< "ssa-train"
  int code = 0;         ///< exit code; 128 + n: killed by signal n
};

enum class PointState {
  waiting,   ///< not begun, or stopped after `step`
  running,   ///< a process trains it
  trained,   ///< all steps done and validated; an evaluation may be missing
  finished,  ///< trained, with all requested evaluations
  failed     ///< a program ended with an error and was not run again
};
std::string_view name(PointState state);

struct PointStatus {
  PointState state = PointState::waiting;
  bool trained = false;           ///< all steps are done, even if an evaluation failed later
  int64_t step = 0;               ///< last one in metrics.jsonl
  std::optional<double> loss;     ///< of the last line in metrics.jsonl
  std::optional<double> score;    ///< the task's metric in that line
  std::vector<EvalMode> missing;  ///< requested evaluations without a result
  std::optional<PointFailure> failure;
};

/// Reads the state of a run folder, which need not exist. `evaluations` of the split follow the
/// training. Does not throw: files that cannot be read count as missing.
PointStatus read_point_status(const std::string& run_dir, const Config& config,
                              const std::vector<EvalMode>& evaluations, Split split = Split::test);

/// The task's metric on the split as written by ssa-eval, if there is a result.
std::optional<double> score_of(const std::string& run_dir, TaskKind task, EvalMode mode,
                               Split split = Split::test);

/// Writes a note of a failure into the run folder, or removes it.
void record_failure(const std::string& run_dir, const PointFailure& failure);
void clear_failure(const std::string& run_dir);

/// The differences between the config of the run in a folder and this one: "key: there …, now …".
/// Empty if there is no run. Keys that do not change the weights, such as train.log_every, are
/// ignored.
std::vector<std::string> config_differences(const std::string& run_dir, const Config& config);

/// Size and checksum of the data that the run was last started on; 0 bytes if nobody knows.
DataIdentity data_of_run(const std::string& run_dir);

/// The last `lines` lines of a text file that are not blank; none if it cannot be read.
std::vector<std::string> last_lines(const std::string& path, size_t lines);

}  // namespace ssa
