#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssa/storage/safetensors.h"

namespace ssa {

// A checkpoint is a folder RUN/checkpoints/step-N with model.safetensors, optimizer.safetensors,
// state.json and manifest.json. It is written under another name, the manifest last, and renamed
// when every byte is on the disk, so that a folder called step-N was complete once; the manifest's
// checksums say whether it still is. RUN/checkpoints/latest holds the name of the newest one.

struct CheckpointData {
  int64_t step = 0;
  std::vector<NamedTensor> model;
  std::vector<NamedTensor> optimizer;
  std::string state_json = "{}";  ///< whatever else a resume needs, as JSON
};

/// An open checkpoint. The files stay readable even if the folder is removed meanwhile.
struct LoadedCheckpoint {
  std::string path;
  int64_t step = 0;
  SafetensorsFile model;
  SafetensorsFile optimizer;
  std::string state_json;
  std::string engine_version;
  std::string engine_commit;
};

/// Saves RUN/checkpoints/step-N, then removes all but the newest `keep` (at least 1) checkpoints.
/// A checkpoint of the same step is replaced. When it throws CheckpointError (a full disk, an I/O
/// error) or the process is killed, whatever was valid before still is.
void save_checkpoint(const std::string& run_dir, const CheckpointData& data, int64_t keep);

/// The newest checkpoint of a run whose files all match their checksums: the one saved last, even
/// if others have a higher step because the run was resumed from an earlier one. Damaged newer
/// ones are skipped; `warnings` (may be null) gets a message for each, which names it, the reason
/// and the one used instead. Nothing if the run has no checkpoint; CheckpointError if it has some
/// but all are damaged.
std::optional<LoadedCheckpoint> find_latest_checkpoint(const std::string& run_dir,
                                                       std::vector<std::string>* warnings);

/// Opens a checkpoint folder, or the one that a `latest` file names, after verifying every file.
/// Throws CheckpointError naming the file, with the expected and the actual size or checksum.
LoadedCheckpoint open_checkpoint(const std::string& path);

}  // namespace ssa
