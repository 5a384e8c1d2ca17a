#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/sections.h"

namespace ssa::report {

namespace {

using Number = std::optional<double>;

Number ratio(const Number& value, const Number& base) {
  if (!value || !base || *base == 0) return std::nullopt;
  return *value / *base;
}

std::string model_text(int64_t layers, int64_t width, int64_t length) {
  return fmt::format("{} layers, width {}, length {}", layers, grouped(width), grouped(length));
}

std::string ratio_text(const Number& value) { return significant(value, 3); }

/// Scores as the paper prints them: three decimals of bits, two of perplexity.
std::string score_text(const Metric& metric, const Number& score) {
  if (!score) return significant(std::nullopt);
  return fmt::format("{:.{}f}", *score, metric.table_decimals);
}

Number score_of(const Run& run, const char* mode, const char* split) {
  const Evaluation* evaluation = run.evaluation(mode, split);
  if (!evaluation) return std::nullopt;
  return value_of(traits_of(run.config.task).metric(), *evaluation);
}

/// Of ssa-eval, else the last one in training, of what part of the split that scores.
Number valid_score(const Run& run) {
  if (const Number score = score_of(run, "renorm", "valid")) return score;
  const auto events = run.losses_of("valid");
  if (events.empty()) return std::nullopt;
  return value_of(traits_of(run.config.task).metric(), *events.back());
}

std::vector<std::string> headings(const Metric& metric) {
  return {"",           fmt::format("valid, {}", metric.name),
          "test",       "ensemble, test",
          "C: compute", "M: memory",
          "S: speed",   "model"};
}

std::vector<std::string> row_of(const std::vector<Run>& runs, size_t index) {
  const Run& run = runs[index];
  const Config& config = run.config;
  std::vector<Config> configs;
  for (const Run& other : runs) configs.push_back(other.config);
  const auto dense = dense_partner(configs, config);
  const Run* base = dense ? &runs[*dense] : nullptr;
  const Metric& metric = traits_of(config.task).metric();
  return {run_chip(run, index),
          score_text(metric, valid_score(run)),
          score_text(metric, score_of(run, "renorm", "test")),
          score_text(metric, score_of(run, "ensemble", "test")),
          ratio_text(run.cost ? Number(run.cost->compute_ratio) : Number()),
          ratio_text(base ? ratio(run.peak_memory_bytes(), base->peak_memory_bytes()) : Number()),
          ratio_text(base ? ratio(run.overall_terms_per_second(), base->overall_terms_per_second())
                          : Number()),
          model_text(config.model.layers, config.model.width, config.data.length)};
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
                   config.data.length != group.match.length;
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
      "is the last validation of the training where ssa-eval has not scored that split. ";
  if (compared < runs.size()) {
    text += fmt::format("For {} of the runs nothing is published. ", runs.size() - compared);
  }
  return text + fmt::format("Published: {}.</p>\n", escape(source));
}

}  // namespace

std::string paper_section(const std::vector<Run>& runs, const PublishedResults& published) {
  const std::vector<PaperGroup> groups = group_runs(runs, published);
  if (groups.empty()) return {};
  std::map<std::string, Table> tables;  // by data set
  for (const PaperGroup& group : groups) {
    const Metric& metric = traits_of(runs[group.runs.front()].config.task).metric();
    Table& table = tables[group.data];
    if (table.rows.empty()) {
      table.numbers = table.by_run = true;
      table.rows.push_back(headings(metric));
    }
    for (const size_t i : group.runs) table.rows.push_back(row_of(runs, i));
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
