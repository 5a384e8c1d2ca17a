// The score against each value that differs between the runs. Runs that differ in the seed only
// make one point, with their spread.

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "ssa/config/differences.h"
#include "ssa/config/idle_keys.h"
#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/scores.h"
#include "report/sections.h"
#include "report/svg_plot.h"

namespace ssa::report {

namespace {

constexpr size_t kFewValues = 3;  // with fewer, a page of few runs needs no chart
constexpr size_t kMostCharts = 12;

/// A key with its value in each run, empty where it has no effect.
struct SweptKey {
  std::string name;
  std::vector<std::string> values;
};

/// Whether people vary a key to get another model, and not only for speed or comfort.
bool is_of_interest(std::string_view key) {
  return !is_bookkeeping(key) && !key.starts_with("eval.") && key != "train.seed" &&
         key != "data.name" && key != "data.path";
}

/// The config's keys and values; both ends of σ as one key where they are the same.
std::vector<std::pair<std::string, std::string>> settings_of(const Config& config) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (auto& [key, value] : flatten_config(config)) {
    if (!is_of_interest(key)) continue;
    if (!has_effect(config, key)) value.clear();
    const bool flat = config.ssa.sigma.first == config.ssa.sigma.last;
    if (flat && key == "ssa.sigma.last") continue;
    if (flat && key == "ssa.sigma.first") key = "ssa.sigma";
    settings.emplace_back(key, value);
  }
  return settings;
}

/// Whether two keys tell the same runs apart.
bool vary_together(const SweptKey& a, const SweptKey& b) {
  std::map<std::string, std::string> there, back;
  for (size_t i = 0; i < a.values.size(); ++i) {
    if (there.emplace(a.values[i], b.values[i]).first->second != b.values[i]) return false;
    if (back.emplace(b.values[i], a.values[i]).first->second != a.values[i]) return false;
  }
  return true;
}

std::optional<double> number_in(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional(number) : std::nullopt;
}

/// Each value once: numbers ascending, words in the order of the runs.
std::vector<std::string> values_of(const SweptKey& key) {
  std::vector<std::string> values;
  for (const std::string& value : key.values) {
    if (value.empty() || std::ranges::find(values, value) != values.end()) continue;
    values.push_back(value);
  }
  if (std::ranges::all_of(values, [](const auto& value) { return number_in(value).has_value(); })) {
    std::ranges::stable_sort(values, {}, [](const auto& value) { return *number_in(value); });
  }
  return values;
}

/// The keys that differ, in the order of the configs. Of several that vary together the first.
std::vector<SweptKey> swept_keys(const std::vector<Run>& runs) {
  std::vector<SweptKey> keys;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const auto& [name, value] : settings_of(runs[i].config)) {
      auto key = std::ranges::find(keys, name, &SweptKey::name);
      if (key == keys.end()) {
        key = keys.insert(key, {name, std::vector<std::string>(runs.size())});
      }
      key->values[i] = value;
    }
  }
  std::vector<SweptKey> swept;
  for (SweptKey& key : keys) {
    const auto linked = [&](const SweptKey& other) { return vary_together(other, key); };
    if (values_of(key).size() < 2 || std::ranges::any_of(swept, linked)) continue;
    swept.push_back(std::move(key));
  }
  return swept;
}

std::string last_part(std::string_view key) { return std::string(key.substr(key.rfind('.') + 1)); }

/// "windows 4, sigma 0.25": a run's values of the other keys.
std::string other_values(const std::vector<SweptKey>& keys, const SweptKey& key, size_t run) {
  std::vector<std::string> parts;
  for (const SweptKey& other : keys) {
    if (other.name == key.name || other.values[run].empty()) continue;
    parts.push_back(last_part(other.name) + " " + other.values[run]);
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// A chart, and what its lines are.
struct SweepChart {
  Plot plot;
  std::string lines;  ///< HTML
};

/// Runs that agree in all other keys make a line. Nothing if no line has two points.
std::optional<SweepChart> chart_of(const std::vector<Run>& runs, const CommonScore& score,
                                   const std::vector<SweptKey>& keys, const SweptKey& key) {
  const std::vector<std::string> values = values_of(key);
  std::map<std::string, std::vector<std::vector<size_t>>> lines;  // the runs at each value
  for (size_t i = 0; i < runs.size(); ++i) {
    if (key.values[i].empty() || !score.values[i]) continue;
    auto& line = lines[other_values(keys, key, i)];
    line.resize(values.size());
    line[static_cast<size_t>(std::ranges::find(values, key.values[i]) - values.begin())].push_back(
        i);
  }
  SweepChart chart{{.title = "Against " + key.name,
                    .x_label = key.name,
                    .y_label = score.name,
                    .x_names = values},
                   {}};
  size_t most_points = 0, style = 0;
  for (const auto& [label, line] : lines) {
    Series series{.label = label.empty() ? score.name : label,
                  .style = lines.size() == 1 ? kNoStyle : style++,
                  .line = LineStyle::marked};
    for (size_t x = 0; x < values.size(); ++x) {
      const auto spread = spread_of(score, line[x]);
      if (!spread) continue;
      const Point point{static_cast<double>(x), spread->mean, spread->deviation};
      if (!chart.plot.best || score.is_better(point.y, chart.plot.best->y)) chart.plot.best = point;
      series.points.push_back(point);
    }
    most_points = std::max(most_points, series.points.size());
    if (lines.size() > 1) {
      chart.lines += fmt::format("<span class=\"run\">{} {}</span>\n", line_sample(series.style),
                                 escape(label));
    }
    chart.plot.series.push_back(std::move(series));
  }
  if (most_points < 2) return std::nullopt;
  return chart;
}

/// The mean of dense runs, for which keys of `ssa` have no values, as a line across the chart.
void mark_dense(Plot& plot, const std::vector<Run>& runs, const CommonScore& score,
                const SweptKey& key) {
  std::vector<size_t> dense;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].config.ssa.kind == SsaKind::none && key.values[i].empty()) dense.push_back(i);
  }
  if (const auto spread = spread_of(score, dense)) {
    plot.horizontal.push_back({spread->mean, kNoStyle, "dense"});
  }
}

std::string charts_of(const std::vector<Run>& runs, const CommonScore& score,
                      const std::vector<SweptKey>& keys) {
  std::string charts;
  size_t count = 0;
  for (const SweptKey& key : keys) {
    const bool few = values_of(key).size() < kFewValues && runs.size() <= kMostColumns;
    if (few || count == kMostCharts) continue;
    auto chart = chart_of(runs, score, keys, key);
    if (!chart) continue;
    mark_dense(chart->plot, runs, score, key);
    charts += "<div>" + render(chart->plot);
    if (!chart->lines.empty()) charts += "<p class=\"legend\">" + chart->lines + "</p>\n";
    charts += "</div>\n";
    ++count;
  }
  return charts.empty() ? charts : "<div class=\"charts\">\n" + charts + "</div>\n";
}

/// The values and the score of the runs of each style, the best one first.
std::string ranking(const std::vector<Run>& runs, const CommonScore& score,
                    const std::vector<SweptKey>& keys) {
  struct Row {
    std::vector<size_t> runs;
    SeedSpread spread;
  };
  std::vector<Row> rows;
  for (const auto& group : style_groups(runs)) {
    if (const auto spread = spread_of(score, group)) rows.push_back({group, *spread});
  }
  std::ranges::stable_sort(rows, [&](const Row& a, const Row& b) {
    return score.is_better(a.spread.mean, b.spread.mean);
  });
  Table table;
  table.numbers = table.by_run = true;
  table.rows.push_back({"run"});
  for (const SweptKey& key : keys) {
    table.rows.front().push_back("<code>" + escape(key.name) + "</code>");
  }
  table.rows.front().insert(table.rows.front().end(), {escape(score.name), "runs"});
  for (const Row& row : rows) {
    std::vector<std::string> cells = {group_chip(runs, row.runs)};
    for (const SweptKey& key : keys) {
      const std::string& value = key.values[row.runs.front()];
      cells.push_back(value.empty() ? significant(std::nullopt) : escape(value));
    }
    cells.push_back(to_text(row.spread));
    cells.push_back(std::to_string(row.spread.count));
    table.rows.push_back(std::move(cells));
  }
  return table.rows.size() > 1 ? render(table) : std::string();
}

}  // namespace

std::string sweep_section(const std::vector<Run>& runs) {
  const CommonScore score = common_score(runs);
  const std::vector<SweptKey> keys = swept_keys(runs);
  const std::string charts = charts_of(runs, score, keys);
  if (charts.empty()) return {};
  return section(
      "sweep", "Scores against what was varied",
      fmt::format("<p class=\"about\">{} is better. Runs that agree in all other keys make a line; "
                  "those that differ in the seed only make one point, their mean, with their "
                  "standard deviation to either side. The ring marks the best point.</p>\n{}"
                  "<h3>Best first</h3>\n{}",
                  score.higher_is_better ? "Higher" : "Lower", charts, ranking(runs, score, keys)));
}

}  // namespace ssa::report
