#include "ssa/sweep/published.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "ssa/core/error.h"
#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"

#include "storage/json_text.h"

namespace ssa {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxBytes = uint64_t{1} << 20;
const std::string kFileName = "published_results.json";

std::optional<double> number(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  return found->get<double>();
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

}  // namespace

PublishedResults PublishedResults::load(const std::string& path) {
  PublishedResults results;
  try {
    const json root = parse_json(read_text_file(path, kMaxBytes), path);
    results.source_ = root.at("source").get<std::string>();
    for (const auto& [data, object] : root.at("data").items()) {
      Table& table = results.tables_[data];
      table.layers = object.at("layers").get<int64_t>();
      table.width = object.at("width").get<int64_t>();
      table.length = object.at("length").get<int64_t>();
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
  const auto table = tables_.find(config.data.name);
  if (table == tables_.end()) return nullptr;
  const Table& found = table->second;
  if (config.model.layers != found.layers || config.model.width != found.width ||
      config.data.length != found.length) {
    return nullptr;
  }
  const auto row = found.rows.find(scheme_name(config));
  return row == found.rows.end() ? nullptr : &row->second;
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

}  // namespace ssa
