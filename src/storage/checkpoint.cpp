// Saving; open_checkpoint.cpp loads.

#include "ssa/storage/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "ssa/core/error.h"
#include "ssa/core/version.h"
#include "ssa/storage/json_text.h"

#include "storage/checkpoint_folder.h"

namespace ssa {

namespace {

/// PyTorch's loaders look for the key "format".
SafetensorsMetadata metadata_of(int64_t step) {
  return {{"format", "pt"}, {"step", std::to_string(step)}};
}

/// Opens a file of the checkpoint, lets `fill` write it, and syncs it.
template <class Fill>
SavedFile write_file(const std::string& folder, const std::string& file_name, Fill&& fill) {
  OutputFile file(folder + "/" + file_name, OutputFile::Mode::replace);
  fill(file);
  file.sync();
  file.close();
  return {file_name, file.bytes(), file.checksum()};
}

/// Throws CheckpointError unless this process sees the file as another process wrote it.
void check_visible(const std::string& folder, const SavedFile& file) {
  const std::string path = folder + "/" + file.name;
  if (!path_exists(path)) {
    throw CheckpointError(
        "{}, which another rank has written, is not there: the run folder must be on a file system "
        "that all ranks share",
        path);
  }
  if (const uint64_t bytes = InputFile(path).bytes(); bytes != file.bytes) {
    throw CheckpointError("{} has {} bytes; the rank that wrote it reported {}", path, bytes,
                          file.bytes);
  }
}

/// A removal that fails (of an NFS file that a process has open, for example) costs space, but does
/// not end the run. The next save tries again. One warning per path.
void without_fail(const std::string& path, const std::function<void()>& remove) {
  static std::set<std::string> said;
  try {
    remove();
  } catch (const CheckpointError& error) {
    if (said.insert(path).second) {
      spdlog::warn("{}; it is left over and takes up space: the run goes on", error.what());
    }
  }
}

void remove_leftover(const std::string& path) {
  without_fail(path, [&] { remove_tree(path); });
}

/// Gives the finished folder its name. If there is a checkpoint of the same step, the folders are
/// swapped. A file system that cannot swap needs two renames; between them the old checkpoint is
/// still found as ".step-N.replaced".
void publish(const std::string& dir, const std::string& partial, const std::string& folder) {
  if (!path_exists(folder)) {
    rename_path(partial, folder);
  } else if (!exchange_paths(partial, folder)) {
    const std::string old =
        fmt::format("{}/.{}{}", dir, std::filesystem::path(folder).filename().string(), kReplaced);
    remove_tree(old);
    rename_path(folder, old);
    rename_path(partial, folder);
    sync_directory(dir);
    remove_leftover(old);
  } else {
    sync_directory(dir);
    remove_leftover(partial);  // now the old one
  }
  sync_directory(dir);
}

void remove_partial(const std::string& dir) {
  for (const std::string& entry : list_directory(dir)) {
    if (entry.starts_with('.') && entry.ends_with(kPartial)) remove_leftover(dir + "/" + entry);
  }
}

/// Removes what an interrupted save left behind.
void clean_up(const std::string& dir) {
  remove_partial(dir);
  for (const std::string& entry : list_directory(dir)) {
    if (const auto folder = replaced_name(entry)) {
      if (path_exists(dir + "/" + *folder)) {
        remove_leftover(dir + "/" + entry);
      } else {
        rename_path(dir + "/" + entry, dir + "/" + *folder);
      }
    }
  }
}

/// Renames the checkpoint first, so that a half-removed one does not look like a damaged one.
void remove_checkpoint(const std::string& dir, const Candidate& candidate) {
  const std::string doomed = fmt::format(
      "{}/.{}.removed{}", dir, std::filesystem::path(candidate.path).filename().string(), kPartial);
  remove_leftover(doomed);
  rename_path(candidate.path, doomed);
  remove_leftover(doomed);
}

/// Whether a sound checkpoint stays though it is not among the newest.
bool stays(const Candidate& candidate, const Retention& keep) {
  return candidate.step == keep.best || (keep.every > 0 && candidate.step % keep.every == 0);
}

/// After `newest` has been saved: removes the older ones in trouble, and if it is sound itself the
/// sound ones that do not stay.
void prune(const std::string& dir, const std::string& newest, bool in_trouble,
           const Retention& keep) {
  std::vector<Candidate> candidates = list_candidates(dir);
  std::erase_if(candidates, [](const Candidate& one) {  // replaced, and not removed yet
    return std::filesystem::path(one.path).filename().string().starts_with('.');
  });
  int64_t sound = std::count_if(candidates.begin(), candidates.end(),
                                [](const Candidate& one) { return !one.in_trouble; });
  for (const Candidate& candidate : candidates) {
    if (candidate.path == newest) continue;
    const bool among_newest = sound <= keep.newest;
    if (!candidate.in_trouble) --sound;
    if (!candidate.in_trouble && (in_trouble || among_newest || stays(candidate, keep))) continue;
    without_fail(candidate.path, [&] { remove_checkpoint(dir, candidate); });
  }
}

void write_pointer(const std::string& dir, std::string_view name, const std::string& folder) {
  write_file_atomically(fmt::format("{}/{}", dir, name), folder + "\n");
}

/// Lets `best` name the best checkpoint. The run may have gone back to before the one that it names
/// now, and the best one of that time may be gone: then there is none.
void settle_best(const std::string& dir, int64_t step) {
  const std::string pointer = fmt::format("{}/{}", dir, kBest);
  const bool points = path_exists(pointer);
  if (step < 0 || !path_exists(dir + "/" + step_name(step))) {
    if (points) remove_tree(pointer);
  } else if (!points || read_text_file(pointer, 256) != step_name(step) + "\n") {
    write_pointer(dir, kBest, step_name(step));
  }
}

/// What remains to be done once `newest` has its name.
void settle(const std::string& dir, const std::string& newest, bool in_trouble,
            const Retention& keep) {
  if (list_candidates(dir).back().path == newest) {  // no sound one comes before it
    write_pointer(dir, kLatest, std::filesystem::path(newest).filename().string());
  }
  settle_best(dir, keep.best);
  prune(dir, newest, in_trouble, keep);
}

}  // namespace

void finish_save(const std::string& dir, const std::string& newest, const Retention& keep) {
  remove_partial(dir);
  const std::vector<Candidate> all = list_candidates(dir);
  const auto last = std::max_element(
      all.begin(), all.end(),
      [](const Candidate& a, const Candidate& b) { return a.sequence < b.sequence; });
  if (last != all.end() && last->path == newest) settle(dir, newest, last->in_trouble, keep);
}

std::string to_text(const SavedFile& file) {
  return nlohmann::json{{"name", file.name}, {"bytes", file.bytes}, {"xxh3_128", file.checksum}}
      .dump();
}

SavedFile saved_file_from_text(const std::string& text) {
  const auto json = parse_json(text, "a report of a saved file");
  try {
    return {json.at("name"), whole_number<uint64_t>(json.at("bytes")), json.at("xxh3_128")};
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError("a report of a saved file: {}", error.what());
  }
}

SavedFile save_optimizer_shard(const std::string& run_dir, int64_t step, int index, int shards,
                               const std::vector<NamedTensor>& tensors) {
  return write_file(partial_folder(run_dir, step), optimizer_file(index, shards),
                    [&](OutputFile& file) { write_safetensors(file, tensors, metadata_of(step)); });
}

CheckpointSave::CheckpointSave(std::string run_dir, int64_t step, const Retention& keep,
                               bool in_trouble)
    : run_dir_(std::move(run_dir)),
      partial_(partial_folder(run_dir_, step)),
      step_(step),
      keep_(keep),
      in_trouble_(in_trouble) {
  if (step < 0 || keep.newest < 1) {
    throw CheckpointError(
        "cannot save step {} keeping {} checkpoints: step must be at least 0, "
        "train.keep_checkpoints at least 1",
        step, keep.newest);
  }
  const std::string dir = checkpoints_dir(run_dir_);
  make_directories(dir);
  sync_directory(run_dir_);
  clean_up(dir);
  for (const Candidate& existing : list_candidates(dir)) {
    sequence_ = std::max(sequence_, existing.sequence);
  }
  ++sequence_;
  make_directories(partial_);
}

CheckpointSave::~CheckpointSave() {
  if (complete_) return;
  // Frees the disk space of an unfinished save.
  try {
    remove_tree(partial_);
  } catch (const std::exception&) {  // the disk may be broken, or memory may have run out
  }
}

void CheckpointSave::write_tensors(const char* file_name, const std::vector<NamedTensor>& tensors) {
  files_.push_back(write_file(partial_, file_name, [&](OutputFile& file) {
    write_safetensors(file, tensors, metadata_of(step_));
  }));
}

void CheckpointSave::write_model(const std::vector<NamedTensor>& model) {
  write_tensors(kModelFile, model);
}

void CheckpointSave::write_average(const std::vector<NamedTensor>& average) {
  write_tensors(kAverageFile, average);
}

void CheckpointSave::write_state(const std::string& json) {
  files_.push_back(write_file(partial_, kStateFile, [&](OutputFile& file) { file.write(json); }));
}

void CheckpointSave::write_config(const std::string& yaml) {
  files_.push_back(write_file(partial_, kConfigFile, [&](OutputFile& file) { file.write(yaml); }));
}

void CheckpointSave::commit(const std::vector<SavedFile>& optimizer) {
  for (const SavedFile& file : optimizer) check_visible(partial_, file);
  Manifest manifest{step_, sequence_, version(), git_commit(), files_, in_trouble_};
  manifest.files.insert(manifest.files.end(), optimizer.begin(), optimizer.end());
  write_file(partial_, kManifestFile,
             [&](OutputFile& file) { file.write(manifest_text(manifest)); });
  sync_directory(partial_);
  complete_ = true;
  const std::string dir = checkpoints_dir(run_dir_);
  const std::string folder = dir + "/" + step_name(step_, in_trouble_);
  publish(dir, partial_, folder);
  settle(dir, folder, in_trouble_, keep_);
}

void save_checkpoint(const std::string& run_dir, const CheckpointData& data,
                     const Retention& keep) {
  CheckpointSave save(run_dir, data.step, keep, data.in_trouble);
  save.write_model(data.model);
  if (!data.average.empty()) save.write_average(data.average);
  save.write_state(data.state_json);
  if (!data.config_yaml.empty()) save.write_config(data.config_yaml);
  save.commit({save_optimizer_shard(run_dir, data.step, 0, 1, data.optimizer)});
}

}  // namespace ssa
