#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "ssa/report/figures.h"
#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/sections.h"

namespace ssa::report {

namespace {

using Number = std::optional<double>;

std::string model_text(int64_t layers, int64_t width, int64_t length) {
  return fmt::format("{} layers, width {}, length {}", layers, grouped(width), grouped(length));
}

std::string ratio_text(const Number& value) { return significant(value, 3); }

/// A score as the paper prints it: three decimals for bits, two for perplexity.
std::string score_text(const Metric& metric, const Number& score) {
  if (!score) return significant(std::nullopt);
  return fmt::format("{:.{}f}", *score, metric.table_decimals);
}

std::vector<std::string> headings(const Metric& metric) {
  return {"",           fmt::format("valid, {}", metric.name),
          "test",       "ensemble, test",
          "C: compute", "M: memory",
          "S: speed",   "model"};
}

std::vector<std::string> row_of(const Run& run, size_t index, const Figures& figures) {
  const Config& config = run.config;
  const Metric& metric = traits_of(config.task).metric();
  return {run_chip(run, index),
          score_text(metric, figures.whole_valid),
          score_text(metric, figures.test),
          score_text(metric, figures.ensemble_test),
          ratio_text(figures.compute),
          ratio_text(figures.memory),
          ratio_text(figures.speed),
          model_text(config.model.layers, config.model.width, run.terms_per_example)};
}

std::vector<std::string> row_of(const PublishedMatch& match, const Metric& metric) {
  const PublishedRow& row = *match.row;
  return {fmt::format("paper <b>{}</b>", escape(match.scheme)),
          score_text(metric, row.valid),
          score_text(metric, row.test),
          score_text(metric, row.ensemble_test),
          ratio_text(row.compute),
          ratio_text(row.memory),
          ratio_text(row.speed),
          model_text(match.layers, match.width, match.length)};
}

/// Runs that have the same published row.
struct PaperGroup {
  std::string data;
  PublishedMatch match;
  std::vector<size_t> runs;
};

std::vector<PaperGroup> group_runs(const std::vector<Run>& runs,
                                   const PublishedResults& published) {
  std::vector<PaperGroup> groups;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto match = published.nearest(runs[i].config);
    if (!match) continue;
    const auto same = [&](const PaperGroup& group) { return group.match.row == match->row; };
    auto group = std::find_if(groups.begin(), groups.end(), same);
    if (group == groups.end()) {
      group = groups.insert(group, {runs[i].config.data.name, *match, {}});
    }
    group->runs.push_back(i);
  }
  return groups;
}

std::string remarks(const std::vector<Run>& runs, const std::vector<PaperGroup>& groups,
                    const std::string& source) {
  bool other_size = false;
  size_t compared = 0;
  for (const PaperGroup& group : groups) {
    compared += group.runs.size();
    for (const size_t i : group.runs) {
      const auto& config = runs[i].config;
      other_size = other_size || config.model.layers != group.match.layers ||
                   config.model.width != group.match.width ||
                   runs[i].terms_per_example != group.match.length;
    }
  }
  std::string text = "<p class=\"about\">";
  if (other_size) {
    text +=
        "<b>Scores of models of another size do not compare</b>, nor do those of another "
        "length of training or part of the data: look at how schemes stand to each other, not "
        "at the numbers themselves. ";
  }
  text +=
      "C is exact for each model. M and S stand against the dense run on this page, which "
      "stores no attention matrix; the paper's stand against dense attention that does, so "
      "expect less of a difference here. Scores are of dense inference but for the ensemble; valid "
      "is the last validation of the training where ssa-eval has not scored that split, if that "
      "was on all of it. ";
  if (compared < runs.size()) {
    text += fmt::format("For {} of the runs nothing is published. ", runs.size() - compared);
  }
  return text + fmt::format("Published: {}.</p>\n", escape(source));
}

}  // namespace

std::string paper_section(const std::vector<Run>& runs, const PublishedResults& published) {
  const std::vector<PaperGroup> groups = group_runs(runs, published);
  if (groups.empty()) return {};
  const std::vector<Figures> figures = figures_of(runs);
  std::map<std::string, Table> tables;  // by data set
  for (const PaperGroup& group : groups) {
    const Metric& metric = traits_of(runs[group.runs.front()].config.task).metric();
    Table& table = tables[group.data];
    if (table.rows.empty()) {
      table.numbers = table.by_run = true;
      table.rows.push_back(headings(metric));
    }
    for (const size_t i : group.runs) table.rows.push_back(row_of(runs[i], i, figures[i]));
    table.set_off.push_back(table.rows.size());
    table.rows.push_back(row_of(group.match, metric));
  }
  std::string body;
  for (const auto& [data, table] : tables) {
    if (tables.size() > 1) body += fmt::format("<h3>{}</h3>\n", escape(data));
    body += render(table);
  }
  return section("paper", "Against the paper", body + remarks(runs, groups, published.source()));
}

}  // namespace ssa::report
