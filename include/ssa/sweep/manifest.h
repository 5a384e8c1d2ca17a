#pragma once

#include <string>
#include <vector>

#include "ssa/sweep/grid.h"

namespace ssa {

/// The grid of a sweep folder, stored in sweep.json. It holds no results.
struct SweepManifest {
  std::string config;
  std::vector<std::string> set;
  std::vector<Variation> variations;
  std::vector<std::string> points;  ///< names
};

/// Replaces RUN_ROOT/sweep.json, atomically. Throws CheckpointError for I/O errors.
void write_manifest(const std::string& run_root, const SweepManifest& manifest);

/// The differences between the folder's manifest and this one, as sentences. Empty if the folder
/// has none. Throws CheckpointError if it cannot be read.
std::vector<std::string> manifest_differences(const std::string& run_root,
                                              const SweepManifest& manifest);

}  // namespace ssa
