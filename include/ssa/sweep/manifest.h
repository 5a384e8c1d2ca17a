#pragma once

#include <string>
#include <vector>

#include "ssa/sweep/grid.h"

namespace ssa {

/// What a sweep folder was made for: sweep.json. Results are never read from it.
struct SweepManifest {
  std::string config;
  std::vector<std::string> set;
  std::vector<Variation> variations;
  std::vector<std::string> points;  ///< names
};

/// Replaces RUN_ROOT/sweep.json, atomically. Throws CheckpointError for I/O errors.
void write_manifest(const std::string& run_root, const SweepManifest& manifest);

/// In what the manifest that is there differs from this one, in sentences; nothing if there is
/// none. Throws CheckpointError if it cannot be read.
std::vector<std::string> manifest_differences(const std::string& run_root,
                                              const SweepManifest& manifest);

}  // namespace ssa
