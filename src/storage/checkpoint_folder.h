#pragma once

// The contents of a folder of checkpoints: names, manifests, and which checkpoints may be valid.
// Used by saving and loading.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/storage/checkpoint.h"

namespace ssa {

inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kAverageFile = "average.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kConfigFile = "config.yaml";
inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr std::string_view kLatest = "latest";
inline constexpr std::string_view kBest = "best";
/// Whether a file of this name says which checkpoint is meant.
inline bool is_pointer(std::string_view name) { return name == kLatest || name == kBest; }
inline constexpr std::string_view kPartial = ".partial";
inline constexpr std::string_view kReplaced = ".replaced";

inline std::string checkpoints_dir(const std::string& run_dir) { return run_dir + "/checkpoints"; }
inline constexpr std::string_view kInTrouble = "-in-trouble";
/// "step-600", "step-600-in-trouble".
inline std::string step_name(int64_t step, bool in_trouble = false) {
  return fmt::format("step-{}{}", step, in_trouble ? kInTrouble : "");
}
/// The folder in which the checkpoint of a step is written before it gets its name.
inline std::string partial_folder(const std::string& run_dir, int64_t step) {
  return fmt::format("{}/.{}{}", checkpoints_dir(run_dir), step_name(step), kPartial);
}

/// N of "step-N" and "step-N-in-trouble".
std::optional<int64_t> step_of(std::string_view folder);
/// "step-N" of ".step-N.replaced", which an interrupted exchange in two renames leaves behind.
std::optional<std::string> replaced_name(const std::string& entry);

/// "optimizer-00002-of-00004.safetensors" for index 1 of 4; for 1 of 1 "optimizer.safetensors".
std::string optimizer_file(int index, int shards);
/// The number of shards of the optimizer's state if `name` is one of their files; 0 if it is not.
int shards_of(std::string_view name);

struct Manifest {
  int64_t step = 0;
  int64_t sequence = 0;  ///< number of the save in its run, from 1
  std::string engine_version;
  std::string engine_commit;
  std::vector<SavedFile> files;
  bool in_trouble = false;
};

std::string manifest_text(const Manifest& manifest);
/// Throws CheckpointError if the manifest is missing or damaged.
Manifest read_manifest(const std::string& folder);

/// A folder that may be a valid checkpoint. Only its manifest has been read.
struct Candidate {
  std::string path;
  int64_t step = 0;
  int64_t sequence = 0;  ///< 0 if the manifest is damaged
  std::string problem;   ///< what is wrong with the manifest; empty: nothing
  bool in_trouble = false;
};

/// The candidates in a folder of checkpoints: those in trouble before the sound ones, the oldest of
/// each first. So the last one is the best.
std::vector<Candidate> list_candidates(const std::string& dir);

/// RunFolder::finish_save(), in a folder of checkpoints.
void finish_save(const std::string& dir, const std::string& newest, const Retention& keep);

}  // namespace ssa
