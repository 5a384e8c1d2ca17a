#include "ssa/storage/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <tuple>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/core/version.h"

#include "storage/json_text.h"

namespace ssa {

namespace {

using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "state.json";
constexpr const char* kManifestFile = "manifest.json";
constexpr std::string_view kPartial = ".partial";
constexpr std::string_view kReplaced = ".replaced";
constexpr uint64_t kMaxManifestBytes = uint64_t{1} << 20;
constexpr uint64_t kMaxStateBytes = uint64_t{1} << 28;

std::string checkpoints_dir(const std::string& run_dir) { return run_dir + "/checkpoints"; }
std::string step_name(int64_t step) { return fmt::format("step-{}", step); }

/// N of "step-N".
std::optional<int64_t> step_of(std::string_view folder) {
  constexpr std::string_view kPrefix = "step-";
  if (folder.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  folder.remove_prefix(kPrefix.size());
  int64_t step = -1;
  const auto [end, error] = std::from_chars(folder.data(), folder.data() + folder.size(), step);
  if (error != std::errc() || end != folder.data() + folder.size() || step < 0) return std::nullopt;
  return step;
}

/// "step-N" of ".step-N.replaced": what an exchange in two moves may leave behind.
std::optional<std::string> replaced_name(const std::string& entry) {
  if (!entry.starts_with('.') || !entry.ends_with(kReplaced)) return std::nullopt;
  const std::string folder = entry.substr(1, entry.size() - 1 - kReplaced.size());
  return step_of(folder) ? std::optional(folder) : std::nullopt;
}

// ---- the manifest ------------------------------------------------------------------------------

struct FileRecord {
  std::string name;
  uint64_t bytes = 0;
  std::string checksum;
};

struct Manifest {
  int64_t step = 0;
  int64_t sequence = 0;  // 1 for a run's first save, then one more each time
  std::string engine_version;
  std::string engine_commit;
  std::vector<FileRecord> files;
};

std::string checksum_of_text(const std::string& text) {
  Checksum checksum;
  checksum.update(text.data(), text.size());
  return checksum.hex();
}

std::string manifest_text(const Manifest& manifest) {
  json files = json::object();
  for (const FileRecord& file : manifest.files) {
    files[file.name] = {{"bytes", file.bytes}, {"xxh3_128", file.checksum}};
  }
  json body = {
      {"format", kFormat},
      {"step", manifest.step},
      {"sequence", manifest.sequence},
      {"engine", {{"version", manifest.engine_version}, {"commit", manifest.engine_commit}}},
      {"files", files}};
  body["checksum"] = checksum_of_text(body.dump());  // of all the rest, so that it is covered too
  return body.dump(2) + "\n";
}

Manifest read_manifest(const std::string& folder) {
  const std::string path = folder + "/" + kManifestFile;
  if (!path_exists(path)) {
    throw CheckpointError("{} is no complete checkpoint: it has no {}", folder, kManifestFile);
  }
  json body = parse_json(read_text_file(path, kMaxManifestBytes), path);
  try {
    const auto expected = body.at("checksum").get<std::string>();
    body.erase("checksum");
    if (const std::string actual = checksum_of_text(body.dump()); actual != expected) {
      throw CheckpointError("{} is damaged: its checksum is {}, expected {}", path, actual,
                            expected);
    }
    if (const auto format = body.at("format").get<int64_t>(); format != kFormat) {
      throw CheckpointError("{} has format {}; this version of the engine ({}) reads format {}",
                            path, format, version(), kFormat);
    }
    Manifest manifest;
    manifest.step = body.at("step").get<int64_t>();
    manifest.sequence = body.at("sequence").get<int64_t>();
    manifest.engine_version = body.at("engine").at("version").get<std::string>();
    manifest.engine_commit = body.at("engine").at("commit").get<std::string>();
    for (const auto& [name, record] : body.at("files").items()) {
      manifest.files.push_back(
          {name, record.at("bytes").get<uint64_t>(), record.at("xxh3_128").get<std::string>()});
    }
    return manifest;
  } catch (const json::exception& error) {
    throw CheckpointError("{} is no valid manifest: {}", path, error.what());
  }
}

// ---- saving ------------------------------------------------------------------------------------

/// Opens a file of the checkpoint, lets `fill` write it, and puts it on the disk.
template <class Fill>
FileRecord write_file(const std::string& folder, const char* file_name, Fill&& fill) {
  OutputFile file(folder + "/" + file_name, OutputFile::Mode::replace);
  fill(file);
  file.sync();
  file.close();
  return {file_name, file.bytes(), file.checksum()};
}

void write_folder(const std::string& folder, const CheckpointData& data, int64_t sequence) {
  make_directories(folder);
  // PyTorch users' loaders look for "format".
  const SafetensorsMetadata metadata = {{"format", "pt"}, {"step", std::to_string(data.step)}};
  Manifest manifest{data.step, sequence, version(), git_commit(), {}};
  manifest.files.push_back(write_file(folder, kModelFile, [&](OutputFile& file) {
    write_safetensors(file, data.model, metadata);
  }));
  manifest.files.push_back(write_file(folder, kOptimizerFile, [&](OutputFile& file) {
    write_safetensors(file, data.optimizer, metadata);
  }));
  manifest.files.push_back(
      write_file(folder, kStateFile, [&](OutputFile& file) { file.write(data.state_json); }));
  write_file(folder, kManifestFile, [&](OutputFile& file) { file.write(manifest_text(manifest)); });
  sync_directory(folder);
}

/// Gives the finished folder its name. Replacing a checkpoint of the same step takes one move
/// where the file system can swap two folders, else two, between which the old one is still found
/// as ".step-N.replaced".
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
    remove_tree(old);
  } else {
    sync_directory(dir);
    remove_tree(partial);  // now the old one
  }
  sync_directory(dir);
}

/// Removes what an interrupted save left behind.
void clean_up(const std::string& dir) {
  for (const std::string& entry : list_directory(dir)) {
    if (entry.starts_with('.') && entry.ends_with(kPartial)) {
      remove_tree(dir + "/" + entry);
    } else if (const auto folder = replaced_name(entry)) {
      if (path_exists(dir + "/" + *folder)) {
        remove_tree(dir + "/" + entry);
      } else {
        rename_path(dir + "/" + entry, dir + "/" + *folder);
      }
    }
  }
}

/// A folder that may be a valid checkpoint, as far as its manifest tells.
struct Candidate {
  std::string path;
  int64_t step = 0;
  int64_t sequence = 0;  // 0 if the manifest is damaged
  std::string problem;   // of the manifest
};

/// Oldest first.
std::vector<Candidate> list_candidates(const std::string& dir) {
  std::vector<Candidate> candidates;
  for (const std::string& entry : list_directory(dir)) {
    const auto replaced = replaced_name(entry);
    const auto step = step_of(replaced ? *replaced : entry);
    if (!step) continue;
    Candidate candidate{dir + "/" + entry, *step, 0, ""};
    try {
      candidate.sequence = read_manifest(candidate.path).sequence;
    } catch (const CheckpointError& error) {
      candidate.problem = error.what();
    }
    candidates.push_back(std::move(candidate));
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.sequence, a.step) < std::tie(b.sequence, b.step);
  });
  return candidates;
}

/// Removes the oldest checkpoints but `keep`, the one just written never. Each is renamed first:
/// half-removed, it must not pass for a damaged one.
void prune(const std::string& dir, const std::string& newest, int64_t keep) {
  std::vector<Candidate> candidates = list_candidates(dir);
  auto left = static_cast<int64_t>(candidates.size());
  for (const Candidate& candidate : candidates) {
    if (left <= keep) break;
    if (candidate.path == newest) continue;
    const std::string doomed =
        fmt::format("{}/.{}.removed{}", dir, step_name(candidate.step), kPartial);
    remove_tree(doomed);
    rename_path(candidate.path, doomed);
    remove_tree(doomed);
    --left;
  }
}

}  // namespace

void save_checkpoint(const std::string& run_dir, const CheckpointData& data, int64_t keep) {
  if (data.step < 0 || keep < 1) {
    throw CheckpointError(
        "cannot save step {} keeping {} checkpoints: step must be at least 0, "
        "train.keep_checkpoints at least 1",
        data.step, keep);
  }
  const std::string dir = checkpoints_dir(run_dir);
  const std::string folder = dir + "/" + step_name(data.step);
  const std::string partial = fmt::format("{}/.{}{}", dir, step_name(data.step), kPartial);
  make_directories(dir);
  sync_directory(run_dir);
  clean_up(dir);
  const std::vector<Candidate> existing = list_candidates(dir);
  try {
    write_folder(partial, data, existing.empty() ? 1 : existing.back().sequence + 1);
  } catch (const Error&) {
    // Its space may be what the old checkpoints' disk lacks. Not everything broken can be removed.
    std::error_code ignored;
    std::filesystem::remove_all(partial, ignored);
    throw;
  }
  publish(dir, partial, folder);
  write_file_atomically(dir + "/latest", step_name(data.step) + "\n");
  prune(dir, folder, keep);
}

// ---- loading -----------------------------------------------------------------------------------

namespace {

void verify_file(const std::string& folder, const FileRecord& record) {
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

LoadedCheckpoint open_folder(const std::string& folder) {
  const Manifest manifest = read_manifest(folder);
  for (const char* required : {kModelFile, kOptimizerFile, kStateFile}) {
    const auto same_name = [&](const FileRecord& record) { return record.name == required; };
    if (std::none_of(manifest.files.begin(), manifest.files.end(), same_name)) {
      throw CheckpointError("{}: the manifest does not list {}", folder, required);
    }
  }
  for (const FileRecord& record : manifest.files) verify_file(folder, record);
  return {folder,
          manifest.step,
          SafetensorsFile(folder + "/" + kModelFile),
          SafetensorsFile(folder + "/" + kOptimizerFile),
          read_text_file(folder + "/" + kStateFile, kMaxStateBytes),
          manifest.engine_version,
          manifest.engine_commit};
}

}  // namespace

LoadedCheckpoint open_checkpoint(const std::string& path) {
  const std::filesystem::path given(path);
  std::error_code error;  // what cannot be looked at cannot be read either, which says why
  if (given.filename() != "latest" || std::filesystem::is_directory(given, error)) {
    if (!path_exists(path)) throw CheckpointError("there is no checkpoint {}", path);
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
    } catch (const CheckpointError& error) {
      problems.push_back(error.what());
    }
  }
  if (!found && !candidates.empty()) {
    throw CheckpointError(
        "no checkpoint in {} can be used; start afresh with another --run-dir.\n  {}",
        checkpoints_dir(run_dir), fmt::join(problems, "\n  "));
  }
  if (warnings) {
    for (const std::string& problem : problems) {
      warnings->push_back(fmt::format("{}; {} is used instead", problem, found->path));
    }
  }
  return found;
}

}  // namespace ssa
