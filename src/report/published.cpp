#include "ssa/report/published.h"

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "ssa/config/differences.h"
#include "ssa/core/error.h"
#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"
#include "ssa/storage/json_text.h"
#include "ssa/tasks/task.h"

namespace ssa {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxBytes = uint64_t{1} << 20;
constexpr std::string_view kFileName = "published_results.json";

std::optional<double> number(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  return found->get<double>();
}

/// A size of a model, as large as that of a config may be.
int64_t positive(const json& object, const char* key) {
  const auto size = whole_number<int32_t>(object.at(key));
  if (size < 1) throw ConfigError("{} is {}, and not at least 1", key, size);
  return size;
}

PublishedRow to_row(const json& object) {
  PublishedRow row;
  row.valid = number(object, "valid");
  row.test = number(object, "test");
  row.compute = number(object, "C");
  row.memory = number(object, "M");
  row.speed = number(object, "S");
  if (const auto ensemble = object.find("ensemble"); ensemble != object.end()) {
    row.ensemble_valid = number(*ensemble, "valid");
    row.ensemble_test = number(*ensemble, "test");
  }
  return row;
}

/// The loss terms of an example; 0 for a task that is not built.
int64_t length_of(const Config& config) {
  try {
    return make_task(config)->terms_per_example();
  } catch (const ConfigError&) {
    return 0;
  }
}

}  // namespace

PublishedResults PublishedResults::load(const std::string& path) {
  PublishedResults results;
  try {
    const json root = parse_json(read_text_file(path, kMaxBytes), path);
    results.source_ = root.at("source").get<std::string>();
    for (const auto& [data, object] : root.at("data").items()) {
      Table& table = results.tables_[data];
      table.metric = object.value("metric", "");
      table.note = object.value("note", "");
      if (object.contains("keys")) {
        for (const auto& [key, value] : object.at("keys").items()) {
          table.keys.emplace_back(key, value.get<std::string>());
        }
      } else {
        table.layers = positive(object, "layers");
        table.width = positive(object, "width");
        table.length = positive(object, "length");
      }
      for (const auto& [scheme, row] : object.at("rows").items()) table.rows[scheme] = to_row(row);
    }
  } catch (const json::exception& error) {
    throw ConfigError("{}: no table of published results: {}", path, error.what());
  } catch (const CheckpointError& error) {
    throw ConfigError("{}", error.what());
  }
  return results;
}

const PublishedRow* PublishedResults::find(const Config& config) const {
  const auto match = nearest(config);
  return match && match->same_size ? match->row : nullptr;
}

bool PublishedResults::has_size(const Config& config, const Table& table) {
  if (table.keys.empty()) {
    return config.model.layers == table.layers && config.model.width == table.width &&
           length_of(config) == table.length;
  }
  return std::ranges::all_of(
      table.keys, [&](const auto& one) { return value_of_key(config, one.first) == one.second; });
}

namespace {

/// The config with `layers` layers, which samples in the same part of them. Nothing if that is no
/// whole number of layers.
std::optional<Config> scaled(Config config, int64_t layers) {
  if (config.ssa.layers > 0) {
    const int64_t sampled = config.ssa.layers * layers;
    if (sampled % config.model.layers != 0) return std::nullopt;
    config.ssa.layers = sampled / config.model.layers;
  }
  config.model.layers = layers;
  return config;
}

}  // namespace

std::optional<PublishedMatch> PublishedResults::nearest(const Config& config) const {
  const auto found = tables_.find(config.data.name);
  if (found == tables_.end()) return std::nullopt;
  const Table& table = found->second;
  if (!table.metric.empty() && table.metric != traits_of(config.task).metric().key) {
    return std::nullopt;
  }
  const auto alike = table.keys.empty() ? scaled(config, table.layers) : config;
  if (!alike) return std::nullopt;
  PublishedMatch match{.scheme = scheme_name(*alike),
                       .layers = table.layers,
                       .width = table.width,
                       .length = table.length,
                       .keys = table.keys,
                       .same_size = has_size(config, table),
                       .note = table.note};
  const auto row = table.rows.find(match.scheme);
  if (row == table.rows.end()) return std::nullopt;
  match.row = &row->second;
  return match;
}

std::string find_published_results(const std::string& config_path, const std::string& program_dir) {
  std::vector<fs::path> places = {fs::path(config_path).parent_path() / kFileName};
  for (fs::path dir = program_dir; dir.has_relative_path(); dir = dir.parent_path()) {
    places.push_back(dir / "configs" / kFileName);
    places.push_back(dir / "share" / "ssa" / "configs" / kFileName);
  }
  for (const fs::path& place : places) {
    std::error_code ignored;
    if (fs::is_regular_file(place, ignored)) return place.string();
  }
  return {};
}

std::string find_published_results(const std::string& config_path) {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  return find_published_results(config_path, program.parent_path().string());
}

}  // namespace ssa
