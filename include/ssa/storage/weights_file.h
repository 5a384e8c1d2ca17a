#pragma once

#include <cstdint>
#include <string>

#include "ssa/storage/safetensors.h"

namespace ssa {

// A checkpoint in one safetensors file, for passing on: the weights, and in its metadata all that
// scoring them needs. `ssa-convert export --layout ssa` writes it; open_checkpoint() reads it.

/// The metadata of such a file. Texts are JSON unless said otherwise.
struct WeightsFileInfo {
  std::string config;  ///< resolved, as objects inside each other
  int64_t step = 0;
  std::string commit;           ///< of the engine that saved the weights; plain text
  std::string data;             ///< what the weights were trained on
  bool is_average = false;      ///< the moving average of a run's weights
  std::string state;            ///< the checkpoint's state.json
  std::string vocabulary = {};  ///< of words: a line a word; plain text, empty: none
};

SafetensorsMetadata to_metadata(const WeightsFileInfo& info);
/// Throws CheckpointError if this is the file of another program, or a key is missing.
WeightsFileInfo weights_file_info(const SafetensorsFile& file);

/// Whether a path names a file, not the folder of a checkpoint, or one of the files `latest` and
/// `best`, which name one.
bool names_weights_file(const std::string& path);

}  // namespace ssa
