#pragma once

#include <string>
#include <vector>

#include "ssa/sweep/grid.h"
#include "ssa/sweep/point_state.h"

namespace ssa {

struct SweepOptions {
  std::string config;
  std::vector<std::string> vary, set;
  std::string run_root;
  std::string device = "auto";
  std::vector<EvalMode> evaluations = {EvalMode::renorm};  ///< of `split`, after training
  Split split = Split::test;
  int64_t jobs = 0;  ///< points at a time; 0: one locally, no limit under Slurm
  bool retry_failed = false;
  std::string only;  ///< name of the only point to run; empty: all
  /// The command in front of each ssa-train and ssa-eval: a launcher of several ranks, such as
  /// {"srun", "--mpi=pmix"}.
  std::vector<std::string> run_under;
  std::vector<std::string> sbatch;  ///< "key=value" options for the job script
  std::string script;               ///< template of the job script; empty: the built-in one
  bool submit = true;               ///< false: the job script is only written
  std::string program_dir;          ///< folder of ssa-train, ssa-eval and ssa-sweep

  std::string run_dir(const SweepPoint& point) const { return run_root + "/" + point.name; }
};

/// The command that a point needs next: to train, to resume, or to score. Empty: it is finished.
std::vector<std::string> next_command(const SweepOptions& options, const SweepPoint& point,
                                      const PointStatus& status);

/// The points that are neither finished nor running elsewhere. Failed points are included only with
/// `retry_failed`. Logs which points are skipped and why.
std::vector<const SweepPoint*> points_to_run(const SweepOptions& options,
                                             const std::vector<SweepPoint>& points);

/// Runs the points as child processes, `jobs` at a time, until all are finished or failed. A stop
/// signal is passed on to the children.
void run_local(const SweepOptions& options, const std::vector<const SweepPoint*>& points);

/// Writes a job-array script and the list of points into the sweep folder, and submits the script
/// with `sbatch`. If that is not on PATH or not wanted, logs how to submit it. Throws ConfigError
/// if sbatch refuses.
void submit_slurm(const SweepOptions& options, const std::vector<const SweepPoint*>& points);

/// 0 if every point is finished. Otherwise the first failure's exit code: 128 + n if signal n
/// killed it, 1 if the programs do not document the code. Without a failure 75.
int sweep_exit_code(const SweepOptions& options, const std::vector<SweepPoint>& points);

}  // namespace ssa
