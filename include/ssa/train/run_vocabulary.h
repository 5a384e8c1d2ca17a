#pragma once

#include "ssa/data/vocabulary.h"
#include "ssa/storage/checkpoint.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// The vocabulary that the weights of a checkpoint were trained with. The trainer puts that of
/// words and ids into the run folder, so that it is there without the data; a run of an older
/// version has it in its data only, which are opened then. `config` is the run's.
///
/// Throws ConfigError for a task without tokens, and for data with another vocabulary;
/// CheckpointError if the file in the run folder is damaged.
Vocabulary vocabulary_of_run(const Config& config, const LoadedCheckpoint& checkpoint,
                             const TaskFactory& make_task = ssa::make_task);

}  // namespace ssa
