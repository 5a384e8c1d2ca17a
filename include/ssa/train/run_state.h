#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssa/config/differences.h"
#include "ssa/storage/checkpoint.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// A key that has another value in the steps after `after_step` than before.
struct ConfigChange {
  int64_t after_step = 0;
  ConfigDifference difference;
};

/// The best validation of a run so far, by the task's first metric.
struct BestScore {
  int64_t step = 0;
  double value = 0;
};

/// What a resume needs beyond parameters and optimizer state: state.json of a checkpoint.
struct RunState {
  int64_t step = 0;  ///< completed
  int64_t tokens = 0;
  double elapsed_seconds = 0;
  int64_t consecutive_skips = 0;  ///< steps skipped since the last update
  int64_t skipped_samples = 0;    ///< left out of the data's order by rollbacks
  bool evaluation_due = false;    ///< the run stopped before the evaluation of this step
  int64_t optimizer_updates = 0;
  double loss_scale = 1;
  int64_t loss_scale_good_steps = 0;
  double unlogged_loss = 0;  ///< sum of the finite losses since the last logged line
  int64_t unlogged_steps = 0;
  std::optional<BestScore> best;
  int64_t evaluations_since_best = 0;

  // What the bits of the steps to come depend on.
  uint64_t seed = 0;
  int64_t batch_size = 0;
  int64_t ranks = 1;
  int64_t micro_batch = 0;  ///< resolved; 0: unknown, in older checkpoints
  int64_t length = 0;
  DataIdentity data;

  std::vector<ConfigChange> config_changes;  ///< oldest first
  std::string init_from;                     ///< checkpoint or file of train.init_from; empty: none
  std::string init_checksum;                 ///< of the file with those weights
};

/// The state of a run that has not begun. micro_batch is the config's, 0 for auto. With
/// train.evaluate_first its first evaluation is due.
RunState initial_state(const Config& config, const DataIdentity& data);

std::string to_json(const RunState& state);
/// Throws CheckpointError naming `path`/state.json if the text is malformed.
RunState run_state_from_json(const std::string& text, const std::string& path);
/// The state of a checkpoint. Throws CheckpointError also if it is of another step than the
/// checkpoint's manifest.
RunState run_state_of(const LoadedCheckpoint& checkpoint);

/// The text of the run folder's config-changes.json.
std::string to_json(const std::vector<ConfigChange>& changes);

}  // namespace ssa
