#include "ssa/sweep/summary.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "ssa/config/idle_keys.h"
#include "ssa/core/error.h"
#include "ssa/report/figures.h"
#include "ssa/report/numbers.h"
#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"
#include "ssa/tasks/cost.h"

namespace ssa {

namespace {

using nlohmann::json;
using Number = std::optional<double>;

/// The run of a point. Its config is the point's own, before `auto` was resolved: points that
/// differ in `ssa` only are then recognized as such.
report::Run run_of(const SweepOptions& options, const SweepPoint& point) {
  const std::string run_dir = options.run_dir(point);
  try {
    if (path_exists(run_dir + "/config.yaml")) {
      report::Run run = report::load_runs({run_dir}).front();
      run.config = point.config;
      return run;
    }
  } catch (const Error&) {  // an unreadable run is shown as one that has not begun
  }
  return report::planned_run(point.config);
}

/// The cells of a row, in the order in which they are added.
class Row {
 public:
  void text(const std::string& key, const std::string& heading, const std::string& value) {
    cells_.push_back({key, heading, value, value});
  }
  /// The terminal shows `decimals` digits after the point.
  void number(const std::string& key, const std::string& heading, const Number& value,
              int decimals) {
    const bool there = value && std::isfinite(*value);
    cells_.push_back({key, heading, there ? json(*value) : json(),
                      there ? fmt::format("{:.{}f}", *value, decimals) : std::string()});
  }
  void whole(const std::string& key, const std::string& heading, std::optional<int64_t> value,
             const std::string& shown) {
    cells_.push_back({key, heading, value ? json(*value) : json(), value ? shown : std::string()});
  }
  std::vector<SummaryCell> take() { return std::move(cells_); }

 private:
  std::vector<SummaryCell> cells_;
};

void add_scores(Row& row, const Metric& metric, const report::Figures& own,
                const PublishedRow& paper) {
  const std::string name(metric.key);
  const int decimals = metric.table_decimals;
  row.number("train_loss", "train loss", own.train_loss, 3);
  const bool whole = own.whole_valid.has_value();
  row.number("valid_" + name, "valid", own.whole_valid, decimals);
  row.number("valid_part_" + name, "valid, a part", whole ? Number() : own.valid, decimals);
  row.number("paper_valid_" + name, "paper valid", paper.valid, decimals);
  row.number("test_" + name, "test", own.test, decimals);
  row.number("paper_test_" + name, "paper test", paper.test, decimals);
  row.number("test_ensemble_" + name, "ensemble", own.ensemble_test, decimals);
  row.whole("ensemble_samples", "", own.ensemble_samples, "");
  row.number("paper_test_ensemble_" + name, "paper ensemble", paper.ensemble_test, decimals);
}

std::string parameters_text(std::optional<int64_t> count) {
  return count ? report::with_prefix(static_cast<double>(*count)) : std::string();
}

void add_costs(Row& row, const report::Run& run, const report::Figures& own,
               const PublishedRow& paper) {
  row.number("train_exaflop", "", run.cost ? Number(run.cost->train_exaflop) : Number(), 3);
  row.number("compute_ratio", "C", own.compute, 3);
  row.number("paper_compute_ratio", "paper C", paper.compute, 2);
  row.number("peak_memory_bytes", "", run.peak_memory_bytes(), 0);
  row.number("memory_ratio", "M", own.memory, 3);
  row.number("paper_memory_ratio", "paper M", paper.memory, 2);
  row.number("tokens_per_second", "tokens/s", run.overall_terms_per_second(), 0);
  row.number("speed_ratio", "S", own.speed, 3);
  row.number("paper_speed_ratio", "paper S", paper.speed, 2);
}

size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;  // characters, not bytes
  }));
}

std::string csv_field(const json& value) {
  if (value.is_null()) return "";
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace

SummaryTable summarize(const SweepOptions& options, const std::vector<SweepPoint>& points,
                       const PublishedResults& published) {
  std::vector<report::Run> runs;
  for (const SweepPoint& point : points) runs.push_back(run_of(options, point));
  const std::vector<report::Figures> figures = report::figures_of(runs);
  SummaryTable table;
  for (size_t i = 0; i < points.size(); ++i) {
    const SweepPoint& point = points[i];
    const PublishedRow* paper = published.find(point.config);
    const PointStatus status =
        read_point_status(options.run_dir(point), point.config, options.evaluations, options.split);
    const int64_t steps = point.config.train.steps;
    Row row;
    row.text("point", "", point.name);
    for (const auto& [key, value] : point.varied) {
      row.text(key, key, has_effect(point.config, key) ? value : "");
    }
    row.text("scheme", "scheme", scheme_name(point.config));
    row.text("state", "state", std::string(name(status.state)));
    row.whole("parameters", "parameters", runs[i].parameters, parameters_text(runs[i].parameters));
    row.whole(
        "steps_done", "steps", status.step,
        status.step == steps ? fmt::format("{}", steps) : fmt::format("{}/{}", status.step, steps));
    row.whole("steps", "", steps, "");
    add_scores(row, traits_of(point.config.task).metric(), figures[i],
               paper ? *paper : PublishedRow{});
    add_costs(row, runs[i], figures[i], paper ? *paper : PublishedRow{});
    table.push_back(row.take());
  }
  return table;
}

std::string to_text(const SummaryTable& table) {
  if (table.empty()) return {};
  std::vector<size_t> columns, widths;
  for (size_t c = 0; c < table.front().size(); ++c) {
    size_t width = 0;
    for (const auto& row : table) width = std::max(width, width_of(row[c].text));
    if (table.front()[c].heading.empty() || width == 0) continue;
    columns.push_back(c);
    widths.push_back(std::max(width, width_of(table.front()[c].heading)));
  }
  std::string text;
  const auto add = [&](size_t i, const SummaryCell& cell, const std::string& shown) {
    const std::string pad(widths[i] - width_of(shown), ' ');
    if (i > 0) text += "  ";
    text += cell.value.is_string() ? shown + pad : pad + shown;
  };
  const auto end_line = [&text] {
    while (!text.empty() && text.back() == ' ') text.pop_back();
    text += '\n';
  };
  for (size_t i = 0; i < columns.size(); ++i) {
    const SummaryCell& cell = table.front()[columns[i]];
    add(i, cell, cell.heading);
  }
  end_line();
  for (const auto& row : table) {
    for (size_t i = 0; i < columns.size(); ++i) add(i, row[columns[i]], row[columns[i]].text);
    end_line();
  }
  return text;
}

std::string to_csv(const SummaryTable& table) {
  std::string text;
  const auto line = [&text](const std::vector<SummaryCell>& row, auto&& field) {
    for (size_t i = 0; i < row.size(); ++i) text += (i > 0 ? "," : "") + field(row[i]);
    text += "\r\n";
  };
  if (table.empty()) return text;
  line(table.front(), [](const SummaryCell& cell) { return csv_field(cell.key); });
  for (const auto& row : table) {
    line(row, [](const SummaryCell& cell) { return csv_field(cell.value); });
  }
  return text;
}

json to_json(const SummaryTable& table) {
  json list = json::array();
  for (const auto& row : table) {
    json object;
    for (const SummaryCell& cell : row) object[cell.key] = cell.value;
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace ssa
