// What ssa-eval has found out about the predictions of a model: tables that say themselves how they
// are drawn (ssa/tasks/analysis.h).

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/bar_chart.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/svg_plot.h"

namespace ssa::report {

namespace {

constexpr size_t kMostBars = 30, kMostRows = 10, kMostPoints = 200;
constexpr size_t kMostTextBytes = 80;

/// A table of one evaluation, and what to call that.
struct Found {
  const EvalTable* table;
  std::string caption;
  size_t style;  ///< of the run
};

std::string caption(const std::vector<Run>& runs, const Run& run, const Evaluation& evaluation) {
  std::string mode = evaluation.mode;
  if (mode == "ensemble" && evaluation.samples) mode += fmt::format(" of {}", *evaluation.samples);
  return runs.size() > 1 ? fmt::format("{} {}, {}", run.scheme, run.name, mode) : mode;
}

/// The tables with this key in the runs' own evaluations of a split: renorm and ensemble of each.
std::vector<Found> find_tables(const std::vector<Run>& runs, const std::string& split,
                               const std::string& key) {
  std::vector<Found> found;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const char* mode : {"renorm", "ensemble"}) {
      const Evaluation* evaluation = runs[i].evaluation(mode, split);
      if (!evaluation) continue;
      for (const EvalTable& table : evaluation->analysis) {
        if (table.key != key || table.rows.empty()) continue;
        found.push_back({&table, caption(runs, runs[i], *evaluation), runs[i].style});
      }
    }
  }
  return found;
}

std::set<std::string> keys_of(const std::vector<Run>& runs) {
  std::set<std::string> keys;
  for (const Run& run : runs) {
    for (const Evaluation& evaluation : run.evaluations) {
      for (const EvalTable& table : evaluation.analysis) keys.insert(table.key);
    }
  }
  return keys;
}

double number_in(const EvalTable::Cell& cell) {
  const double* number = std::get_if<double>(&cell);
  return number ? *number : std::nan("");
}

/// As plain text.
std::string text_in(const EvalTable::Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) {
    return std::string(cut(*text, kMostTextBytes));
  }
  const double number = std::get<double>(cell);
  const bool whole = number == std::round(number) && std::abs(number) < 1e15;
  return whole ? grouped(std::llround(number)) : significant(number);
}

std::vector<std::string> headings(const EvalTable& table, std::vector<std::string> row) {
  for (const EvalTable::Column& column : table.columns) row.push_back(escape(column.label));
  return row;
}

std::vector<std::string> cells(const std::vector<EvalTable::Cell>& from,
                               std::vector<std::string> row) {
  for (const EvalTable::Cell& cell : from) row.push_back(escape(text_in(cell)));
  return row;
}

/// Tables of one row, as one table.
std::string draw_rows(const std::vector<Found>& found) {
  Table together{.rows = {headings(*found.front().table, {""})}, .numbers = true};
  for (const Found& one : found) {
    together.rows.push_back(cells(one.table->rows.front(), {escape(one.caption)}));
  }
  return render(together);
}

std::string draw_table(const Found& found) {
  Table table{.rows = {headings(*found.table, {})}};
  for (const auto& row : found.table->rows) {
    if (table.rows.size() > kMostRows) break;
    table.rows.push_back(cells(row, {}));
  }
  return fmt::format("<figure><figcaption>{}</figcaption>{}</figure>\n", escape(found.caption),
                     render(table));
}

std::string draw_curve(const Found& found) {
  const EvalTable& table = *found.table;
  Plot plot{
      .title = found.caption, .x_label = table.columns[0].label, .y_label = table.columns[1].label};
  Series series{found.caption, found.style, LineStyle::marked, {}};
  double low = 0, high = 0;
  for (const auto& row : table.rows) {
    const Point point{number_in(row[0]), number_in(row[1])};
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
    if (series.points.size() == kMostPoints) break;
    low = std::min({low, point.x, point.y});
    high = std::max({high, point.x, point.y});
    series.points.push_back(point);
  }
  std::stable_sort(series.points.begin(), series.points.end(),
                   [](const Point& a, const Point& b) { return a.x < b.x; });
  if (series.points.empty()) return {};
  if (table.diagonal) {
    plot.series.push_back({"", kNoStyle, LineStyle::dashed, {{low, low}, {high, high}}});
  }
  plot.series.push_back(std::move(series));
  return render(plot);
}

/// The rows of bar charts of the same things: those that are shortest in the first one.
std::vector<std::string> labels_of_bars(const EvalTable& first) {
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& row : first.rows) rows.emplace_back(number_in(row[1]), text_in(row[0]));
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  rows.resize(std::min(rows.size(), kMostBars));
  std::vector<std::string> labels;
  for (auto& row : rows) labels.push_back(std::move(row.second));
  return labels;
}

/// "class cat, accuracy 0.5, items 4"
std::string about_row(const EvalTable& table, const std::vector<EvalTable::Cell>& row) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < row.size(); ++i) {
    parts.push_back(table.columns[i].label + " " + text_in(row[i]));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string draw_bars(const Found& found, const std::vector<std::string>& labels, double longest) {
  const EvalTable& table = *found.table;
  BarChart chart{.title = found.caption, .style = found.style, .longest = longest};
  for (const std::string& label : labels) {
    const auto row = std::find_if(table.rows.begin(), table.rows.end(),
                                  [&](const auto& cells) { return text_in(cells[0]) == label; });
    if (row == table.rows.end()) continue;
    chart.bars.push_back({label, number_in((*row)[1]), about_row(table, *row)});
  }
  return render(chart);
}

std::string draw_all_bars(const std::vector<Found>& found) {
  const std::vector<std::string> labels = labels_of_bars(*found.front().table);
  double longest = 0;
  for (const Found& one : found) {
    for (const auto& row : one.table->rows) {
      if (number_in(row[1]) > longest) longest = number_in(row[1]);
    }
  }
  std::string html;
  for (const Found& one : found) html += draw_bars(one, labels, longest);
  return html;
}

std::string draw(const std::vector<Found>& found) {
  const auto of = found.front().table->drawing;
  std::string html;
  if (of == EvalTable::Drawing::bars) {
    html = draw_all_bars(found);
  } else {
    for (const Found& one : found) {
      html += of == EvalTable::Drawing::curve ? draw_curve(one) : draw_table(one);
    }
  }
  return html.empty() ? html : "<div class=\"charts\">\n" + html + "</div>\n";
}

/// What is cut from the drawings of a table; empty if they show it whole.
std::string cut_note(const EvalTable& table) {
  const size_t rows = table.rows.size();
  if (table.drawing == EvalTable::Drawing::bars && rows > kMostBars) {
    return fmt::format(" The {} lowest of {}.", kMostBars, grouped(static_cast<int64_t>(rows)));
  }
  if (table.drawing == EvalTable::Drawing::table && rows > kMostRows) {
    return fmt::format(" The first {} of {}.", kMostRows, grouped(static_cast<int64_t>(rows)));
  }
  return {};
}

/// A heading and the drawings of all evaluations beside each other.
std::string block(const std::vector<Found>& all, const std::string& split, bool folded) {
  const EvalTable& first = *all.front().table;
  std::vector<Found> found = all;  // that can be drawn in the same way
  std::erase_if(found, [&](const Found& one) { return one.table->drawing != first.drawing; });
  const bool single_rows = first.drawing == EvalTable::Drawing::table &&
                           std::all_of(found.begin(), found.end(), [](const Found& one) {
                             return one.table->rows.size() == 1;
                           });
  const std::string body = single_rows ? draw_rows(found) : draw(found);
  if (body.empty()) return {};
  const std::string title = fmt::format("{}, {} split", escape(first.title), escape(split));
  const std::string about =
      fmt::format("<p class=\"about\">{}{}</p>\n", escape(first.about), cut_note(first));
  if (folded && !single_rows) {
    return fmt::format("<details><summary>{}</summary>\n{}{}</details>\n", title, about, body);
  }
  return fmt::format("<h3>{}</h3>\n{}{}", title, about, body);
}

}  // namespace

std::string analysis_section(const std::vector<Run>& runs) {
  std::string body;
  for (const std::string split : {"valid", "test"}) {
    for (const std::string& key : keys_of(runs)) {
      const std::vector<Found> found = find_tables(runs, split, key);
      if (!found.empty()) body += block(found, split, runs.size() > kMostColumns);
    }
  }
  return section("analysis", "Predictions", body);
}

}  // namespace ssa::report
