#include "ssa/tasks/analysis_json.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>

namespace ssa {

namespace {

using nlohmann::json;

// A damaged file must not take more memory than it has bytes, many times over.
constexpr size_t kMostColumns = 32, kMostRows = 100'000;

constexpr std::array<std::string_view, 3> kDrawings = {"table", "bars", "curve"};

json to_json(const EvalTable& table) {
  json object = {{"title", table.title},
                 {"about", table.about},
                 {"drawing", kDrawings[static_cast<size_t>(table.drawing)]},
                 {"columns", json::array()},
                 {"rows", json::array()}};
  if (table.diagonal) object["diagonal"] = true;
  for (const EvalTable::Column& column : table.columns) {
    object["columns"].push_back({{"key", column.key}, {"label", column.label}});
  }
  for (const std::vector<EvalTable::Cell>& row : table.rows) {
    json& cells = object["rows"].emplace_back(json::object());
    for (size_t i = 0; i < table.columns.size(); ++i) {
      std::visit([&](const auto& cell) { cells[table.columns[i].key] = cell; }, row[i]);
    }
  }
  return object;
}

/// Text of an object's key; empty if there is none.
std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const json& list_at(const json& object, const char* key) {
  static const json kNone = json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : kNone;
}

EvalTable::Cell cell_at(const json& row, const std::string& key) {
  const auto found = row.find(key);
  if (found != row.end() && found->is_string()) return found->get<std::string>();
  if (found != row.end() && found->is_number()) return found->get<double>();
  return std::numeric_limits<double>::quiet_NaN();
}

std::optional<EvalTable> table_from_json(const std::string& key, const json& object) {
  if (!object.is_object()) return std::nullopt;
  EvalTable table;
  table.key = key;
  table.title = text_at(object, "title");
  table.about = text_at(object, "about");
  const auto drawing = std::find(kDrawings.begin(), kDrawings.end(), text_at(object, "drawing"));
  if (drawing == kDrawings.end()) return std::nullopt;
  table.drawing = static_cast<EvalTable::Drawing>(drawing - kDrawings.begin());
  table.diagonal = object.value("diagonal", json(false)) == json(true);
  for (const json& column : list_at(object, "columns")) {
    if (!column.is_object() || text_at(column, "key").empty()) return std::nullopt;
    table.columns.push_back({text_at(column, "key"), text_at(column, "label")});
  }
  const size_t least = table.drawing == EvalTable::Drawing::table ? 1 : 2;
  if (table.columns.size() < least || table.columns.size() > kMostColumns) return std::nullopt;
  for (const json& row : list_at(object, "rows")) {
    if (!row.is_object()) return std::nullopt;
    if (table.rows.size() == kMostRows) break;
    std::vector<EvalTable::Cell>& cells = table.rows.emplace_back();
    for (const EvalTable::Column& column : table.columns) {
      cells.push_back(cell_at(row, column.key));
    }
  }
  return table;
}

}  // namespace

json to_json(const std::vector<EvalTable>& tables) {
  json object = json::object();
  for (const EvalTable& table : tables) object[table.key] = to_json(table);
  return object;
}

std::vector<EvalTable> tables_from_json(const json& object) {
  std::vector<EvalTable> tables;
  if (!object.is_object()) return tables;
  for (const auto& [key, value] : object.items()) {
    if (auto table = table_from_json(key, value)) tables.push_back(*std::move(table));
  }
  return tables;
}

}  // namespace ssa
