// Loads checkpoints. Every file is verified before it is used.

#include <algorithm>
#include <filesystem>

#include "ssa/core/error.h"
#include "ssa/storage/checkpoint.h"
#include "ssa/storage/weights_file.h"

#include "storage/checkpoint_folder.h"

namespace ssa {

namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 28;

void verify_file(const std::string& folder, const SavedFile& record) {
  if (record.name.find('/') != std::string::npos) {
    throw CheckpointError("{}: the manifest names a file outside of it, '{}'", folder, record.name);
  }
  const std::string path = folder + "/" + record.name;
  if (!path_exists(path)) throw CheckpointError("{} is missing", path);
  const InputFile file(path);
  if (file.bytes() != record.bytes) {
    throw CheckpointError("{} is damaged: it has {} bytes, expected {}", path, file.bytes(),
                          record.bytes);
  }
  if (const std::string actual = checksum_of(file); actual != record.checksum) {
    throw CheckpointError("{} is damaged: its checksum is {}, expected {}", path, actual,
                          record.checksum);
  }
}

/// The files of the optimizer's state, all of which the manifest must list.
std::vector<std::string> optimizer_files(const Manifest& manifest) {
  int shards = 1;
  for (const SavedFile& file : manifest.files) shards = std::max(shards, shards_of(file.name));
  std::vector<std::string> names;
  for (int index = 0; index < shards; ++index) names.push_back(optimizer_file(index, shards));
  return names;
}

bool lists(const Manifest& manifest, const std::string& name) {
  const auto same_name = [&](const SavedFile& file) { return file.name == name; };
  return std::any_of(manifest.files.begin(), manifest.files.end(), same_name);
}

/// A folder that was copied under another step's name would be resumed at the wrong step. Names
/// that give no step are the user's own.
void check_step(const std::string& folder, const Manifest& manifest) {
  const std::filesystem::path path(folder);
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  const auto replaced = replaced_name(name);
  const auto step = step_of(replaced ? *replaced : name);
  if (!step || *step == manifest.step) return;
  throw CheckpointError("{} holds the checkpoint of step {}: rename it to {}", folder,
                        manifest.step, step_name(manifest.step));
}

LoadedCheckpoint open_folder(const std::string& folder) {
  const Manifest manifest = read_manifest(folder);
  check_step(folder, manifest);
  const std::vector<std::string> optimizer = optimizer_files(manifest);
  std::vector<std::string> required = {kModelFile, kStateFile};
  required.insert(required.end(), optimizer.begin(), optimizer.end());
  for (const std::string& name : required) {
    if (!lists(manifest, name)) {
      throw CheckpointError("{}: the manifest does not list {}", folder, name);
    }
  }
  for (const SavedFile& file : manifest.files) verify_file(folder, file);
  std::vector<SafetensorsFile> shards;
  for (const std::string& name : optimizer) shards.emplace_back(folder + "/" + name);
  std::optional<SafetensorsFile> average;
  if (lists(manifest, kAverageFile)) average.emplace(folder + "/" + kAverageFile);
  const auto text_of = [&](const char* name) {
    return read_text_file(folder + "/" + name, kMaxTextBytes);
  };
  return {folder,
          manifest.step,
          SafetensorsFile(folder + "/" + kModelFile),
          std::move(average),
          ShardedTensors(std::move(shards)),
          text_of(kStateFile),
          manifest.engine_version,
          manifest.engine_commit,
          lists(manifest, kConfigFile) ? text_of(kConfigFile) : std::string(),
          manifest.step,
          manifest.in_trouble};
}

/// A file of weights has no optimizer's state, and no checksums.
LoadedCheckpoint open_file(const std::string& path) {
  SafetensorsFile model(path);
  const WeightsFileInfo info = weights_file_info(model);
  LoadedCheckpoint checkpoint{.path = path,
                              .step = info.step,
                              .model = std::move(model),
                              .average = {},
                              .optimizer = ShardedTensors({}),
                              .state_json = info.state,
                              .engine_version = info.commit,
                              .engine_commit = info.commit,
                              .config_yaml = info.config,
                              .newest_step = info.step};
  if (info.is_average) checkpoint.average.emplace(path);
  checkpoint.only_average = info.is_average;
  return checkpoint;
}

/// Newer ones than the one that is used, which are whole but in trouble.
std::vector<std::string> passed_over(const std::vector<Candidate>& candidates,
                                     const Candidate& used) {
  std::vector<std::string> messages;
  for (const Candidate& candidate : candidates) {
    if (used.in_trouble || !candidate.in_trouble || candidate.sequence < used.sequence) continue;
    messages.push_back(fmt::format("{} was saved by a run in trouble", candidate.path));
  }
  return messages;
}

/// The step that a run has come to, as far as its checkpoints say. Where a manifest is damaged,
/// only the name tells what is newer.
int64_t newest_step(const std::vector<Candidate>& candidates) {
  int64_t whole = 0, damaged = 0;
  for (const Candidate& candidate : candidates) {
    if (candidate.problem.empty()) {
      whole = candidate.step;  // the newest comes last
    } else {
      damaged = std::max(damaged, candidate.step);
    }
  }
  return std::max(whole, damaged);
}

/// What a checkpoint of a run can be called.
std::vector<std::string> names_in(const std::string& dir) {
  std::vector<std::string> names;
  for (const std::string& entry : list_directory(dir)) {
    if (step_of(entry) || entry == kLatest || entry == kBest) names.push_back(entry);
  }
  return names;
}

}  // namespace

bool has_best_checkpoint(const std::string& run_dir) {
  return path_exists(fmt::format("{}/{}", checkpoints_dir(run_dir), kBest));
}

LoadedCheckpoint open_checkpoint(const std::string& run_dir, const std::string& name) {
  const std::string dir = checkpoints_dir(run_dir);
  const std::vector<std::string> names = names_in(dir);
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw CheckpointError("{} has no checkpoint '{}'{}; there are: {}", run_dir, name,
                          name == kBest ? " (train.keep_best keeps it)" : "",
                          names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
  }
  LoadedCheckpoint checkpoint = open_checkpoint(dir + "/" + name);
  checkpoint.newest_step = newest_step(list_candidates(dir));
  return checkpoint;
}

bool has_checkpoints(const std::string& run_dir) {
  return !list_candidates(checkpoints_dir(run_dir)).empty();
}

LoadedCheckpoint open_checkpoint(const std::string& path) {
  const std::filesystem::path given(path);
  std::error_code error;  // ignored: reading the file reports the same problem
  if (!is_pointer(given.filename().string()) || std::filesystem::is_directory(given, error)) {
    if (!path_exists(path)) throw CheckpointError("there is no checkpoint '{}'", path);
    if (names_weights_file(path)) return open_file(path);
    if (std::filesystem::is_directory(checkpoints_dir(path), error) && has_checkpoints(path)) {
      throw CheckpointError(
          "{} is a run folder, not a checkpoint: name one of its checkpoints, such as {}", path,
          (given / "checkpoints" / "latest").string());
    }
    return open_folder(path);
  }
  std::string name = read_text_file(path, 256);
  while (!name.empty() && (name.back() == '\n' || name.back() == '\r')) name.pop_back();
  if (!step_of(name)) throw CheckpointError("{} names no checkpoint: '{}'", path, name);
  return open_folder((given.parent_path() / name).string());
}

std::optional<LoadedCheckpoint> find_latest_checkpoint(const std::string& run_dir,
                                                       std::vector<std::string>* warnings) {
  std::vector<Candidate> candidates = list_candidates(checkpoints_dir(run_dir));
  std::vector<std::string> problems;
  for (const Candidate& candidate : candidates) {
    if (!candidate.problem.empty()) problems.push_back(candidate.problem);
  }
  std::optional<LoadedCheckpoint> found;
  for (auto candidate = candidates.rbegin(); candidate != candidates.rend() && !found;
       ++candidate) {
    if (!candidate->problem.empty()) continue;
    try {
      found = open_folder(candidate->path);
      const std::vector<std::string> newer = passed_over(candidates, *candidate);
      problems.insert(problems.end(), newer.begin(), newer.end());
    } catch (const CheckpointError& error) {
      problems.push_back(error.what());
    }
  }
  if (!found && !candidates.empty()) {
    throw CheckpointError(
        "no checkpoint in {} can be used; start afresh with another --run-dir.\n  {}",
        checkpoints_dir(run_dir), fmt::join(problems, "\n  "));
  }
  if (found) found->newest_step = newest_step(candidates);
  if (warnings) {
    for (const std::string& problem : problems) {
      warnings->push_back(fmt::format("{}; {} is used instead", problem, found->path));
    }
    if (found && found->in_trouble) {
      warnings->push_back(
          fmt::format("{} was saved by a run in trouble; there is no sound one", found->path));
    }
  }
  return found;
}

}  // namespace ssa
