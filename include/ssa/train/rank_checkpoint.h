#pragma once

#include <string>

#include "ssa/dist/communicator.h"
#include "ssa/storage/checkpoint.h"
#include "ssa/train/optimizer.h"

namespace ssa {

/// Saves a checkpoint of a run on several ranks; all of them call this. Rank 0 writes the model,
/// its average and state_json. If `sharded`, every rank writes its `data.optimizer` to a shard of
/// its own, all at the same time; otherwise rank 0 writes its own. If one rank throws, all throw
/// the same error with its number in front ("rank 2: cannot write …"). Earlier checkpoints then
/// stay valid.
void save_checkpoint(Communicator& ranks, const std::string& run_dir, const CheckpointData& data,
                     bool sharded, const Retention& keep);

/// Loads the optimizer's state from a checkpoint, however it was sharded. Throws CheckpointError
/// naming tensor and file if it does not belong to the same parameters, and DivergedError if an
/// element is not finite.
void load_optimizer_state(const LoadedCheckpoint& checkpoint, Optimizer& optimizer);

}  // namespace ssa
