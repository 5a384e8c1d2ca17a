#include "ssa/sweep/summary.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/report/report.h"
#include "ssa/storage/file_io.h"
#include "ssa/tasks/cost.h"

#include "report/numbers.h"
#include "report/run_data.h"

namespace ssa {

namespace {

using nlohmann::json;
using Number = std::optional<double>;

/// What a run folder says about speed and memory.
struct Measured {
  report::Run run;
  Number tokens_per_second;  ///< over all steps, +FT included
  Number peak_memory_bytes;
};

Measured measure(const SweepOptions& options, const SweepPoint& point) {
  Measured measured;
  const std::string run_dir = options.run_dir(point);
  try {
    if (path_exists(run_dir + "/config.yaml")) measured.run = report::load_runs({run_dir}).front();
  } catch (const Error&) {  // shown as missing
  }
  measured.tokens_per_second = measured.run.overall_terms_per_second();
  measured.peak_memory_bytes = measured.run.peak_memory_bytes();
  return measured;
}

/// The dense point to compare with; null if there is none.
const Measured* dense_partner(const std::vector<SweepPoint>& points,
                              const std::vector<Measured>& measured, const Config& config) {
  std::vector<Config> configs;
  for (const SweepPoint& point : points) configs.push_back(point.config);
  const auto index = report::dense_partner(configs, config);
  return index ? &measured[*index] : nullptr;
}

Number ratio(const Number& value, const Number& base) {
  if (!value || !base || *base == 0) return std::nullopt;
  return *value / *base;
}

/// The cells of one row, in the order they are added.
class Row {
 public:
  void text(const std::string& key, const std::string& heading, const std::string& value) {
    cells_.push_back({key, heading, value, value});
  }
  /// On the terminal with `decimals` behind the point.
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

/// The task's metric as the last event of a split has it.
Number last_value(const report::Run& run, std::string_view split, const Metric& metric) {
  const auto events = run.losses_of(split);
  return events.empty() ? Number() : report::value_of(metric, *events.back());
}

Number value_of(const Metric& metric, const report::Evaluation* evaluation) {
  return evaluation ? report::value_of(metric, *evaluation) : Number();
}

void add_results(Row& row, const SweepPoint& point, const report::Run& run,
                 const PublishedRow& paper) {
  const Metric& metric = traits_of(point.config.task).metric();
  const std::string name(metric.key);
  const int decimals = metric.table_decimals;
  const auto* renorm = run.evaluation("renorm", "test");
  const auto* ensemble = run.evaluation("ensemble", "test");
  row.number("train_loss", "train loss", last_value(run, "train", loss_metric()), 3);
  row.number("valid_" + name, "valid", last_value(run, "valid", metric), decimals);
  row.number("paper_valid_" + name, "paper valid", paper.valid, decimals);
  row.number("test_" + name, "test", value_of(metric, renorm), decimals);
  row.number("paper_test_" + name, "paper test", paper.test, decimals);
  row.number("test_ensemble_" + name, "ensemble", value_of(metric, ensemble), decimals);
  row.whole("ensemble_samples", "", ensemble ? ensemble->samples : std::nullopt, "");
  row.number("paper_test_ensemble_" + name, "paper ensemble", paper.ensemble_test, decimals);
}

std::string parameters_text(std::optional<int64_t> count) {
  return count ? report::with_prefix(static_cast<double>(*count)) : std::string();
}

std::optional<int64_t> parameters_of(const SweepPoint& point, const report::Run& run) {
  if (run.parameters) return run.parameters;
  try {
    return parameter_count(point.config);
  } catch (const Error&) {  // of a vocabulary that only the data know
    return std::nullopt;
  }
}

void add_costs(Row& row, const SweepPoint& point, const Measured& own, const Measured* dense,
               const PublishedRow& paper) {
  const TrainingCost cost = training_cost(point.config);
  const bool compare = dense != nullptr;
  row.number("train_exaflop", "", cost.train_exaflop, 3);
  row.number("compute_ratio", "C", cost.compute_ratio, 3);
  row.number("paper_compute_ratio", "paper C", paper.compute, 2);
  row.number("peak_memory_bytes", "", own.peak_memory_bytes, 0);
  row.number("memory_ratio", "M",
             compare ? ratio(own.peak_memory_bytes, dense->peak_memory_bytes) : Number(), 3);
  row.number("paper_memory_ratio", "paper M", paper.memory, 2);
  row.number("tokens_per_second", "tokens/s", own.tokens_per_second, 0);
  row.number("speed_ratio", "S",
             compare ? ratio(own.tokens_per_second, dense->tokens_per_second) : Number(), 3);
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
  std::vector<Measured> measured;
  for (const SweepPoint& point : points) measured.push_back(measure(options, point));
  SummaryTable table;
  for (size_t i = 0; i < points.size(); ++i) {
    const SweepPoint& point = points[i];
    const PublishedRow* paper = published.find(point.config);
    const PointStatus status =
        read_point_status(options.run_dir(point), point.config, options.evaluations);
    const int64_t steps = point.config.train.steps;
    Row row;
    row.text("point", "", point.name);
    for (const auto& [key, value] : point.varied) {
      row.text(key, key, key_matters(key, point.config.ssa) ? value : "");
    }
    row.text("scheme", "scheme", scheme_name(point.config));
    row.text("state", "state", std::string(name(status.state)));
    const auto parameters = parameters_of(point, measured[i].run);
    row.whole("parameters", "parameters", parameters, parameters_text(parameters));
    row.whole(
        "steps_done", "steps", status.step,
        status.step == steps ? fmt::format("{}", steps) : fmt::format("{}/{}", status.step, steps));
    row.whole("steps", "", steps, "");
    add_results(row, point, measured[i].run, paper ? *paper : PublishedRow{});
    add_costs(row, point, measured[i], dense_partner(points, measured, point.config),
              paper ? *paper : PublishedRow{});
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
