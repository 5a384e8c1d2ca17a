#pragma once

#include <string>
#include <vector>

#include "ssa/convert/layout.h"

namespace ssa {

struct ImportOptions {
  std::string layout;
  std::string weights;            ///< safetensors file
  std::string config;             ///< YAML; layout `ssa`: empty for the one in the file
  std::vector<std::string> set;   ///< key=value: overrides
  std::string run_dir;            ///< to make
  std::vector<std::string> skip;  ///< patterns of names, see match()
};

/// Makes a run folder of the weights in a file, with a checkpoint of step 0 that has no optimizer's
/// state. Says on the log what was read, converted, resized and left out. Throws CheckpointError,
/// naming every tensor that does not fit, and ConfigError if the folder holds a run already; then
/// nothing is written.
void import_weights(const ImportOptions& options);

struct ExportOptions {
  std::string layout;
  std::string run;         ///< its newest checkpoint; or
  std::string checkpoint;  ///< a checkpoint folder or file
  std::string output;      ///< safetensors file, replaced when the new one is complete
  std::string weights;     ///< "average" or "trained"; empty: the average where there is one
};

/// Writes the weights of a checkpoint as another program names them, in f32, one tensor at a time.
/// The output of layout `ssa` is a checkpoint in one file (storage/weights_file.h).
void export_weights(const ExportOptions& options);

}  // namespace ssa
