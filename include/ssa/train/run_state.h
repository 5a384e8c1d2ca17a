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
  int64_t skipped_in_a_row = 0;
  int64_t skipped_samples = 0;  ///< left out of the data's order by going back to a checkpoint
  bool evaluation_due = false;  ///< stopped before the evaluation of this step
  int64_t optimizer_updates = 0;
  double loss_scale = 1;
  int64_t loss_scale_good_steps = 0;

  // What the bits of the steps to come depend on.
  uint64_t seed = 0;
  int64_t batch_size = 0;
  int64_t ranks = 1;
  int64_t micro_batch = 0;  ///< resolved; 0: not stated, as in older checkpoints
  int64_t length = 0;
  int64_t data_bytes = 0;  ///< as DataIdentity, with the next
  std::string data_checksum;
};

/// Of a run that has not begun. micro_batch is the config's, 0 for auto.
RunState initial_state(const Config& config, const DataIdentity& data);

std::string to_json(const RunState& state);
/// Throws CheckpointError naming `path`/state.json if the text is malformed.
RunState run_state_from_json(const std::string& text, const std::string& path);

/// Empty if `data` may be the data of the run, else how they differ: "6000 bytes with checksum …,
/// the run's data …". Data that state no checksum are compared by size only.
std::string data_difference(const RunState& run, const DataIdentity& data);

}  // namespace ssa
