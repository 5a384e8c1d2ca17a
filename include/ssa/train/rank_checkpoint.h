#pragma once

#include <string>

#include "ssa/dist/communicator.h"
#include "ssa/storage/checkpoint.h"
#include "ssa/train/optimizer.h"

namespace ssa {

/// Saves a checkpoint of a run on several ranks; all of them call this. Model and state_json are
/// rank 0's. If `sharded`, each rank writes its `data.optimizer`, all at once, into a file of its
/// own; else rank 0 writes its own. What one rank throws, all throw, with its number in front
/// ("rank 2: cannot write …"), and whatever was valid before still is.
void save_checkpoint(Communicator& ranks, const std::string& run_dir, const CheckpointData& data,
                     bool sharded, int64_t keep);

/// Fills the optimizer's state from a checkpoint, whatever pieces it was saved in. Throws
/// CheckpointError naming tensor and file if it is not that of the same parameters.
void load_optimizer_state(const LoadedCheckpoint& checkpoint, Optimizer& optimizer);

}  // namespace ssa
