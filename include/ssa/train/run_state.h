#pragma once

#include <cstdint>
#include <string>

#include "ssa/config/config.h"
#include "ssa/tasks/task.h"

namespace ssa {

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

  // What the bits of the steps to come depend on.
  uint64_t seed = 0;
  int64_t batch_size = 0;
  int64_t ranks = 1;
  int64_t micro_batch = 0;  ///< resolved; 0: unknown, in older checkpoints
  int64_t length = 0;
  int64_t data_bytes = 0;     ///< of DataIdentity
  std::string data_checksum;  ///< of DataIdentity
};

/// The state of a run that has not begun. micro_batch is the config's, 0 for auto.
RunState initial_state(const Config& config, const DataIdentity& data);

std::string to_json(const RunState& state);
/// Throws CheckpointError naming `path`/state.json if the text is malformed.
RunState run_state_from_json(const std::string& text, const std::string& path);

/// How `data` differs from the data of the run: "6000 bytes with checksum …, the run's data …".
/// Empty if it may be the same. Data without a checksum is compared by size only.
std::string data_difference(const RunState& run, const DataIdentity& data);

}  // namespace ssa
