// The summary of a sweep over several seeds.

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "ssa/sweep/summary.h"

namespace ssa {

namespace {

using nlohmann::json;
using Row = std::vector<SummaryCell>;

constexpr const char* kSeed = "train.seed";

const SummaryCell* find_cell(const Row& row, const std::string& key) {
  const auto found = std::find_if(row.begin(), row.end(),
                                  [&](const SummaryCell& cell) { return cell.key == key; });
  return found == row.end() ? nullptr : &*found;
}

/// What points that differ in their seeds only have in common: the other keys that vary.
std::string common_values(const Row& row, const SweepPoint& point) {
  std::string text;
  for (const auto& [key, value] : point.varied) {
    const SummaryCell* cell = find_cell(row, key);
    if (key != kSeed && cell) text += key + "=" + cell->text + "\n";
  }
  return text;
}

/// Digits after the point of a number as it is shown.
int decimals_of(const std::string& text) {
  const size_t point = text.find('.');
  return point == std::string::npos ? 0 : static_cast<int>(text.size() - point - 1);
}

struct Spread {
  double mean = 0, deviation = 0;
};

Spread spread_of(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  Spread spread;
  for (const double value : values) spread.mean += value / count;
  if (values.size() < 2) return spread;
  for (const double value : values) {
    spread.deviation += (value - spread.mean) * (value - spread.mean);
  }
  spread.deviation = std::sqrt(spread.deviation / (count - 1));
  return spread;
}

/// Appends column `c` of these rows as one cell, of differing numbers as two.
void append_column(Row& row, const std::vector<const Row*>& rows, size_t c) {
  const SummaryCell& first = (*rows.front())[c];
  const bool same = std::all_of(rows.begin(), rows.end(),
                                [&](const Row* other) { return (*other)[c].value == first.value; });
  std::vector<double> values;
  int decimals = 0;
  for (const Row* other : rows) {
    const SummaryCell& cell = (*other)[c];
    if (!cell.value.is_number()) continue;
    values.push_back(cell.value.get<double>());
    decimals = std::max(decimals, decimals_of(cell.text));
  }
  if (values.empty()) {
    row.push_back(same ? first : SummaryCell{first.key, first.heading, "", ""});
    row.push_back({first.key + "_spread", "", json(), ""});
    return;
  }
  const Spread spread = spread_of(values);
  const bool one = values.size() == 1;
  const std::string text =
      same ? first.text
           : fmt::format("{:.{}f}{}", spread.mean, decimals,
                         one ? "" : fmt::format(" ± {:.{}f}", spread.deviation, decimals));
  row.push_back({first.key, first.heading, same ? first.value : json(spread.mean), text});
  row.push_back({first.key + "_spread", "", one ? json() : json(spread.deviation), ""});
}

std::string state_of(const std::vector<const Row*>& rows) {
  const auto finished = std::count_if(rows.begin(), rows.end(), [](const Row* row) {
    const SummaryCell* state = find_cell(*row, "state");
    return state && state->text == "finished";
  });
  return fmt::format("{}/{} finished", finished, rows.size());
}

Row row_over_seeds(const std::vector<const Row*>& rows) {
  Row row;
  for (size_t c = 0; c < rows.front()->size(); ++c) {
    const std::string& key = (*rows.front())[c].key;
    if (key == "point") continue;
    if (key == kSeed) {
      row.push_back({"seeds", "seeds", rows.size(), std::to_string(rows.size())});
    } else if (key == "state") {
      row.push_back({"state", "state", state_of(rows), state_of(rows)});
    } else {
      append_column(row, rows, c);
    }
  }
  return row;
}

}  // namespace

SummaryTable over_seeds(const SummaryTable& table, const std::vector<SweepPoint>& points) {
  std::vector<std::vector<const Row*>> groups;
  std::map<std::string, size_t> number_of;  // of a group
  for (size_t i = 0; i < points.size(); ++i) {
    if (!find_cell(table[i], kSeed)) return {};
    const auto [found, is_new] =
        number_of.emplace(common_values(table[i], points[i]), groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(&table[i]);
  }
  if (std::all_of(groups.begin(), groups.end(), [](const auto& group) { return group.size() < 2; }))
    return {};
  SummaryTable summary;
  for (const auto& group : groups) summary.push_back(row_over_seeds(group));
  return summary;
}

}  // namespace ssa
