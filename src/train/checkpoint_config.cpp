#include "ssa/train/checkpoint_config.h"

#include <filesystem>

#include <spdlog/spdlog.h>

#include "ssa/storage/file_io.h"
#include "ssa/storage/weights_file.h"
#include "ssa/tasks/load.h"
#include "ssa/train/run_state.h"

namespace ssa {

std::optional<Config> config_of(const LoadedCheckpoint& checkpoint) {
  if (checkpoint.config_yaml.empty()) {
    spdlog::info(
        "{} was saved by an older version, without its config: whether the config is still the "
        "same is not checked",
        checkpoint.path);
    return std::nullopt;
  }
  try {
    return parse_config(checkpoint.config_yaml, checkpoint.path + "/config.yaml");
  } catch (const ConfigError& error) {
    spdlog::warn(
        "{} was saved by version {}, whose config this version cannot read: whether the config is "
        "still the same is not checked.\n{}",
        checkpoint.path, checkpoint.engine_version, error.what());
    return std::nullopt;
  }
}

Config config_in_weights_file(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_config(weights_file_info(SafetensorsFile(path)).config, path + ": config", overrides,
                      [](ConfigCheck& check) { check_task(check); });
}

void require_same_function(const Config& there, const Config& now, const std::string& path) {
  std::string changed;
  for (const ConfigDifference& difference : config_differences(there, now)) {
    if (changes_function(difference.key)) changed += "\n  " + to_text(difference);
  }
  if (changed.empty()) return;
  throw ConfigError(
      "{}: its weights were trained as part of another function than the config now says: put "
      "these keys back, or train a new run with them{}",
      path, changed);
}

void require_same_vocabulary(const LoadedCheckpoint& checkpoint, const DataIdentity& data) {
  const std::string trained_with = run_state_of(checkpoint).data.vocabulary_checksum;
  if (trained_with.empty() || trained_with == data.vocabulary_checksum) return;
  throw ConfigError(
      "{}: it was trained with the vocabulary of checksum {}, but that of {} has {}: its words "
      "stand for other numbers. Point data.path to the run's data, or prepare the text with the "
      "run's words: ssa-data prepare words --vocabulary RUN",
      checkpoint.path, trained_with, data.path,
      data.vocabulary_checksum.empty() ? "none" : data.vocabulary_checksum);
}

namespace {

/// Where the data of a checkpoint were, if a config with the same data.path asks for them; empty if
/// not.
std::string path_of_training(const LoadedCheckpoint* checkpoint, const Config& config) {
  if (!checkpoint) return {};
  const std::optional<Config> there = config_of(*checkpoint);
  if (!there || there->data.path != config.data.path) return {};
  return run_state_of(*checkpoint).data.path;
}

}  // namespace

std::unique_ptr<TaskData> open_data(const TaskFactory& make_task, const Config& config,
                                    const std::function<const LoadedCheckpoint*()>& checkpoint) {
  if (std::filesystem::path(config.data.path).is_absolute()) {
    return make_task(config)->open_data();
  }
  try {
    return make_task(config)->open_data();
  } catch (const DataError&) {
    const std::string path = path_of_training(checkpoint(), config);
    if (path.empty() || !path_exists(path)) throw;
    spdlog::warn("data.path '{}' leads nowhere from this working directory: using {}, as before",
                 config.data.path, path);
    Config elsewhere = config;
    elsewhere.data.path = path;
    return make_task(elsewhere)->open_data();
  }
}

}  // namespace ssa
