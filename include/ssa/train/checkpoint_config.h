#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ssa/config/differences.h"
#include "ssa/storage/checkpoint.h"
#include "ssa/tasks/task.h"

namespace ssa {

// A checkpoint says which config and which data its weights were trained with. These functions hold
// another config and other data against that, for training, evaluation and generation alike.

/// The config that a checkpoint was saved under. Nothing, with a note on the log, if it was saved
/// by a version that did not keep it, or if this version cannot read it.
std::optional<Config> config_of(const LoadedCheckpoint& checkpoint);

/// The config in the metadata of a file of weights (storage/weights_file.h), with overrides. Throws
/// ConfigError as load_task_config() does, CheckpointError for another program's file.
Config config_in_weights_file(const std::string& path,
                              const std::vector<std::string>& overrides = {});

/// Throws ConfigError listing every key of `now` that would make another function of the weights
/// that were trained under `there`; `path` names the checkpoint.
void require_same_function(const Config& there, const Config& now, const std::string& path);

/// Throws ConfigError if the words of `data` have other numbers than those that the weights of the
/// checkpoint were trained with, or there are other words.
void require_same_vocabulary(const LoadedCheckpoint& checkpoint, const DataIdentity& data);

/// Opens the data that `config` names. If there is nothing at a relative data.path, and the
/// checkpoint was trained under the same data.path from another working directory, opens the data
/// where they were then, with a warning. `checkpoint` is only called in that case; it may give
/// null.
std::unique_ptr<TaskData> open_data(const TaskFactory& make_task, const Config& config,
                                    const std::function<const LoadedCheckpoint*()>& checkpoint);

}  // namespace ssa
