#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "ssa/config/differences.h"
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

/// "embed_width 96, image_size 224": the keys without their sections.
std::string model_text(const ModelKeys& keys) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : keys) {
    parts.push_back(fmt::format("{} {}", key.substr(key.rfind('.') + 1), value));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string model_text(const PublishedMatch& match) {
  if (!match.keys.empty()) return model_text(match.keys);
  return model_text(match.layers, match.width, match.length);
}

/// The same of a run.
std::string model_text(const Run& run, const PublishedMatch& match) {
  if (match.keys.empty()) {
    return model_text(run.config.model.layers, run.config.model.width, run.terms_per_example);
  }
  ModelKeys keys = match.keys;
  for (auto& [key, value] : keys) value = value_of_key(run.config, key).value_or("");
  return model_text(keys);
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

/// The score on the valid split. Of metrics that are counted many papers quote the best validation,
/// so that stands beside the last one.
std::string valid_text(const Metric& metric, const Figures& figures) {
  const std::string last = score_text(metric, figures.whole_valid);
  if (metric.from_loss || !figures.best_valid) return last;
  return fmt::format("{} (best {})", last, score_text(metric, figures.best_valid));
}

std::vector<std::string> row_of(const Run& run, const Figures& figures,
                                const PublishedMatch& match) {
  const Metric& metric = traits_of(run.config.task).metric();
  return {run_chip(run),
          valid_text(metric, figures),
          score_text(metric, figures.test),
          score_text(metric, figures.ensemble_test),
          ratio_text(figures.compute),
          ratio_text(figures.memory),
          ratio_text(figures.speed),
          model_text(run, match)};
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
          model_text(match)};
}

/// Runs that have the same published row.
struct PaperGroup {
  std::string data;
  PublishedMatch match;
  std::vector<size_t> runs;
  bool other_size = false;  ///< some run's model is not of the published size
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
    group->other_size = group->other_size || !match->same_size;
  }
  return groups;
}

std::string remarks(const std::vector<Run>& runs, const std::vector<PaperGroup>& groups,
                    const std::string& source) {
  bool other_size = false;
  size_t compared = 0;
  for (const PaperGroup& group : groups) {
    compared += group.runs.size();
    other_size = other_size || group.other_size;
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
  std::map<std::string, Table> tables;  // by data set, as the next
  std::map<std::string, std::string> notes;
  for (const PaperGroup& group : groups) {
    const Metric& metric = traits_of(runs[group.runs.front()].config.task).metric();
    Table& table = tables[group.data];
    if (table.rows.empty()) {
      table.numbers = table.by_run = true;
      table.rows.push_back(headings(metric));
    }
    for (const size_t i : group.runs) {
      table.rows.push_back(row_of(runs[i], figures[i], group.match));
    }
    table.set_off.push_back(table.rows.size());
    table.rows.push_back(row_of(group.match, metric));
    notes[group.data] = group.match.note;
  }
  std::string body;
  for (const auto& [data, table] : tables) {
    if (tables.size() > 1) body += fmt::format("<h3>{}</h3>\n", escape(data));
    body += render(table);
    if (!notes[data].empty()) {
      body += fmt::format("<p class=\"about\">{}</p>\n", escape(notes[data]));
    }
  }
  return section("paper", "Against the paper", body + remarks(runs, groups, published.source()));
}

}  // namespace ssa::report
