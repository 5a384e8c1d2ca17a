#pragma once

// What a folder of checkpoints holds: names, manifests, and which of them may be used. Shared by
// saving and loading.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/storage/checkpoint.h"

namespace ssa {

inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr std::string_view kPartial = ".partial";
inline constexpr std::string_view kReplaced = ".replaced";

inline std::string checkpoints_dir(const std::string& run_dir) { return run_dir + "/checkpoints"; }
inline std::string step_name(int64_t step) { return fmt::format("step-{}", step); }
/// Where the checkpoint of a step is written before it gets its name.
inline std::string partial_folder(const std::string& run_dir, int64_t step) {
  return fmt::format("{}/.{}{}", checkpoints_dir(run_dir), step_name(step), kPartial);
}

/// N of "step-N".
std::optional<int64_t> step_of(std::string_view folder);
/// "step-N" of ".step-N.replaced": what an exchange in two moves may leave behind.
std::optional<std::string> replaced_name(const std::string& entry);

/// "optimizer-00002-of-00004.safetensors" for index 1 of 4; for 1 of 1 "optimizer.safetensors".
std::string optimizer_file(int index, int shards);
/// The number of files over which the optimizer's state is spread, of which `name` is one; 0: it is
/// none.
int shards_of(std::string_view name);

struct Manifest {
  int64_t step = 0;
  int64_t sequence = 0;  ///< 1 for a run's first save, then one more each time
  std::string engine_version;
  std::string engine_commit;
  std::vector<SavedFile> files;
};

std::string manifest_text(const Manifest& manifest);
/// Throws CheckpointError if there is none or it is damaged.
Manifest read_manifest(const std::string& folder);

/// A folder that may be a valid checkpoint, as far as its manifest tells.
struct Candidate {
  std::string path;
  int64_t step = 0;
  int64_t sequence = 0;  ///< 0 if the manifest is damaged
  std::string problem;   ///< of the manifest
};

/// Oldest first.
std::vector<Candidate> list_candidates(const std::string& dir);

}  // namespace ssa
