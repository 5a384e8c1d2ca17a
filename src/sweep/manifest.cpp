#include "ssa/sweep/manifest.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/storage/file_io.h"
#include "ssa/storage/json_text.h"

namespace ssa {

namespace {

using nlohmann::json;

constexpr uint64_t kMaxBytes = uint64_t{1} << 24;

std::string manifest_path(const std::string& run_root) { return run_root + "/sweep.json"; }

json to_json(const SweepManifest& manifest) {
  json vary = json::array();
  for (const Variation& variation : manifest.variations) {
    vary.push_back({{"key", variation.key}, {"values", variation.values}});
  }
  return {{"format", 1},
          {"config", manifest.config},
          {"set", manifest.set},
          {"vary", vary},
          {"points", manifest.points}};
}

/// Paths and values may have any bytes; JSON has to be UTF-8.
std::string to_text(const SweepManifest& manifest) {
  return to_json(manifest).dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

/// Names in `a` that are not in `b`.
std::vector<std::string> only_in(const std::vector<std::string>& a,
                                 const std::vector<std::string>& b) {
  std::vector<std::string> result;
  for (const std::string& item : a) {
    if (std::find(b.begin(), b.end(), item) == b.end()) result.push_back(item);
  }
  return result;
}

}  // namespace

void write_manifest(const std::string& run_root, const SweepManifest& manifest) {
  write_file_atomically(manifest_path(run_root), to_text(manifest));
}

std::vector<std::string> manifest_differences(const std::string& run_root,
                                              const SweepManifest& manifest) {
  const std::string path = manifest_path(run_root);
  if (!path_exists(path)) return {};
  const json there = parse_json(read_text_file(path, kMaxBytes), path);
  const json now = json::parse(to_text(manifest));
  std::vector<std::string> differences;
  try {
    for (const char* key : {"config", "set"}) {
      if (there.at(key) == now.at(key)) continue;
      differences.push_back(fmt::format("the sweep in {} was started with {} {}, now it is {}",
                                        run_root, key, there.at(key).dump(), now.at(key).dump()));
    }
    const auto before = there.at("points").get<std::vector<std::string>>();
    const auto added = only_in(manifest.points, before);
    const auto gone = only_in(before, manifest.points);
    if (!added.empty()) {
      differences.push_back(fmt::format("new in this grid: {}", fmt::join(added, ", ")));
    }
    if (!gone.empty()) {
      differences.push_back(
          fmt::format("no longer in this grid, and left as they are: {}", fmt::join(gone, ", ")));
    }
  } catch (const json::exception& error) {
    throw CheckpointError("{}: not the manifest of a sweep: {}", path, error.what());
  }
  return differences;
}

}  // namespace ssa
