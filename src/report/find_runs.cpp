#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/report/run_data.h"
#include "ssa/storage/file_io.h"

namespace ssa::report {

namespace {

using nlohmann::json;

constexpr uint64_t kMaxManifestBytes = uint64_t{1} << 24;

bool is_run(const std::string& dir) { return path_exists(dir + "/config.yaml"); }

/// Names of the points in ssa-sweep's order. Empty if it did not make this folder.
std::vector<std::string> points_of_sweep(const std::string& dir) {
  std::vector<std::string> points;
  try {
    const std::string path = dir + "/sweep.json";
    if (!path_exists(path)) return points;
    const json manifest = json::parse(read_text_file(path, kMaxManifestBytes), nullptr, false);
    if (!manifest.is_object() || !manifest.contains("points")) return points;
    for (const json& point : manifest["points"]) {
      if (point.is_string()) points.push_back(point.get<std::string>());
    }
  } catch (const Error&) {  // the runs are then sorted by name
  }
  return points;
}

std::vector<std::string> runs_in(const std::string& dir) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(dir, ignored) || is_run(dir)) return {};
  std::vector<std::string> names = list_directory(dir);
  std::erase_if(names, [&](const std::string& name) { return !is_run(dir + "/" + name); });
  std::sort(names.begin(), names.end());
  const std::vector<std::string> points = points_of_sweep(dir);
  const auto place = [&](const std::string& name) {
    return std::find(points.begin(), points.end(), name) - points.begin();
  };
  std::stable_sort(names.begin(), names.end(),
                   [&](const std::string& a, const std::string& b) { return place(a) < place(b); });
  const std::string prefix = dir.ends_with('/') ? dir : dir + "/";
  for (std::string& name : names) name = prefix + name;
  return names;
}

}  // namespace

std::vector<std::string> find_runs(const std::vector<std::string>& dirs) {
  std::vector<std::string> found;
  for (const std::string& dir : dirs) {
    const std::vector<std::string> inside = runs_in(dir);
    if (inside.empty()) {
      found.push_back(dir);
    } else {
      found.insert(found.end(), inside.begin(), inside.end());
    }
  }
  return found;
}

}  // namespace ssa::report
