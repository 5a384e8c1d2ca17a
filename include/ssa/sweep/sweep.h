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
  std::vector<EvalMode> evaluations = {EvalMode::renorm};  ///< of the test split, after training
  int64_t jobs = 0;  ///< points at a time; 0: one here, any number under Slurm
  bool retry_failed = false;
  std::string only;  ///< name of the one point to work on; empty: all
  /// Words in front of each ssa-train and ssa-eval: a launcher of several ranks, such as
  /// {"srun", "--mpi=pmix"}.
  std::vector<std::string> run_under;
  std::vector<std::string> sbatch;  ///< "key=value" options for the job script
  std::string script;               ///< what the job script is made from; empty: the built-in one
  std::string program_dir;          ///< where ssa-train, ssa-eval and ssa-sweep lie

  std::string run_dir(const SweepPoint& point) const { return run_root + "/" + point.name; }
};

/// Command that makes a point's next step: train or resume, or score; empty if nothing is to be
/// done.
std::vector<std::string> next_command(const SweepOptions& options, const SweepPoint& point,
                                      const PointStatus& status);

/// Points that are left to do: neither finished nor running elsewhere, and failed ones only with
/// `retry_failed`. Logs what is skipped and why.
std::vector<const SweepPoint*> points_to_run(const SweepOptions& options,
                                             const std::vector<SweepPoint>& points);

/// Runs the points as child processes, `jobs` at a time, until all are done or failed or a
/// StopSignal arrives, which the children get too.
void run_local(const SweepOptions& options, const std::vector<const SweepPoint*>& points);

/// Writes a job-array script and the list of points into the sweep folder and submits it, if there
/// is an `sbatch` on PATH; otherwise says on the log how to. Throws ConfigError if sbatch refuses.
void submit_slurm(const SweepOptions& options, const std::vector<const SweepPoint*>& points);

/// 0 if every point is finished; else the first failure's exit code (128 + n: killed by signal n; 1
/// for one that the programs do not document); else 75.
int sweep_exit_code(const SweepOptions& options, const std::vector<SweepPoint>& points);

}  // namespace ssa
