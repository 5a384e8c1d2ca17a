#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "ssa/core/shell_word.h"
#include "ssa/report/numbers.h"
#include "ssa/storage/file_io.h"

#include "report/html.h"
#include "report/sections.h"

namespace ssa::report {

namespace {

constexpr size_t kMostSampleBytes = 6000;
constexpr size_t kMostTextBytes = 200000;  // of all runs together, so that the page stays small
constexpr size_t kMostValueBytes = 300;

size_t share(size_t runs, size_t most) { return std::min(most, kMostTextBytes / runs); }

std::string details(const std::string& summary, const std::string& text) {
  return fmt::format("<details><summary>{}</summary><pre tabindex=\"0\">{}</pre></details>\n",
                     summary, text);
}

/// Folds the body if the page has many runs.
std::string folded(const std::vector<Run>& runs, const std::string& title,
                   const std::string& html) {
  if (runs.size() <= kMostColumns) return html;
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", title, html);
}

/// The keys whose values differ between runs.
Table differences(const std::vector<Run>& runs) {
  Table table;
  std::vector<std::string> keys;  // in the order of the configs
  std::vector<std::map<std::string, std::string>> configs;
  table.rows.push_back({runs.size() > kMostColumns ? "run" : "key"});
  for (size_t i = 0; i < runs.size(); ++i) {
    configs.emplace_back();
    for (const auto& [key, value] : flatten_config(runs[i].config)) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
      configs.back()[key] = value;
    }
    table.rows.front().push_back(run_chip(runs[i]));
  }
  for (const std::string& key : keys) {
    std::vector<std::string> row = {fmt::format("<code>{}</code>", escape(key))};
    bool differs = false;
    for (auto& config : configs) {
      const std::string& value = config[key];  // empty where the run's task does not have the key
      differs = differs || value != configs.front()[key];
      row.push_back(escape(cut(value, kMostValueBytes)));
    }
    if (differs) table.rows.push_back(std::move(row));
  }
  return table;
}

/// What the runs' configs were before, and until which step; nothing if no run went on with another
/// one.
std::string changes_on_the_way(const std::vector<Run>& runs) {
  Table table;
  table.rows.push_back({"run", "after step", "key", "before", "after"});
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const ConfigChange& change : runs[i].config_changes) {
      table.rows.push_back({run_chip(runs[i]), grouped(change.after_step),
                            fmt::format("<code>{}</code>", escape(change.key)),
                            escape(cut(change.before, kMostValueBytes)),
                            escape(cut(change.after, kMostValueBytes))});
    }
  }
  if (table.rows.size() == 1) return {};
  return "<h3>Changed on the way</h3>\n<p class=\"about\">These runs went on with another config: "
         "what this page says of a config is true of their last steps.</p>\n" +
         render(table);
}

std::string joined(const std::vector<std::string>& texts, std::string_view between) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : std::string(between)) + text;
  return all;
}

}  // namespace

std::string other_scores_section(const std::vector<Run>& runs) {
  Table table;
  table.rows.push_back(
      {"run", "split", "inference", "score", "step", "terms", "what is different"});
  for (size_t i = 0; i < runs.size(); ++i) {
    const Metric& metric = traits_of(runs[i].config.task).metric();
    for (const Evaluation& score : runs[i].evaluations) {
      if (score.differences.empty()) continue;
      std::string inference = score.mode;
      if (score.mode == "ensemble" && score.samples) {
        inference += fmt::format(" of {}", grouped(*score.samples));
      }
      const auto count = [](const std::optional<int64_t>& number) {
        return number ? grouped(*number) : significant(std::nullopt);
      };
      table.rows.push_back(
          {run_chip(runs[i]), escape(score.split), escape(inference),
           fmt::format("{} {}", significant(value_of(metric, &score)), metric.name),
           count(score.step), count(score.tokens),
           escape(cut(joined(score.differences, "; "), kMostValueBytes))});
    }
  }
  if (table.rows.size() == 1) return {};
  return section("other-scores", "Other scores",
                 "<p class=\"about\">Of other data, parts of a split, another config or an older "
                 "checkpoint: not the runs' own scores, and not to be compared with them.</p>\n" +
                     render(table));
}

std::string config_section(const std::vector<Run>& runs) {
  std::string body;
  if (runs.size() > 1) {
    const Table table = differences(runs);
    if (table.rows.size() > 1) {
      body += render(runs.size() > kMostColumns ? transposed(table) : table);
    } else {
      body += "<p class=\"about\">The configs are all the same.</p>\n";
    }
  }
  body += changes_on_the_way(runs);
  std::string configs;
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string yaml = dump_config(runs[i].config);
    configs += details("All of " + run_chip(runs[i]),
                       escape(cut(yaml, share(runs.size(), kMostTextBytes))));
  }
  body += folded(runs, "The configs in full", configs);
  return section("config", runs.size() > 1 ? "Differences of the configs" : "Config", body);
}

std::string sample_section(const std::vector<Run>& runs) {
  std::string body;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].sample.empty()) continue;
    const std::string_view text = cut(runs[i].sample, share(runs.size(), kMostSampleBytes));
    body += fmt::format(
        "<p class=\"legend\">{}</p>\n<pre class=\"sample\" tabindex=\"0\">{}{}</pre>\n",
        run_chip(runs[i]), escape(text), text.size() < runs[i].sample.size() ? "\n…" : "");
  }
  return section("sample", "Generated text", body);
}

namespace {

/// A folder beside the run's that does not exist yet: ssa-train refuses one that has a run.
std::string new_folder(const std::string& dir) {
  const std::string base = dir.substr(0, dir.find_last_not_of('/') + 1) + "-again";
  std::string folder = base;
  for (int i = 2; path_exists(folder); ++i) folder = fmt::format("{}-{}", base, i);
  return folder;
}

/// What is scored: the newest checkpoint of the new folder, or that of an earlier step.
std::string subject_of(const Evaluation& evaluation, const std::string& dir) {
  const bool earlier = std::ranges::any_of(
      evaluation.differences, [](const std::string& one) { return one.starts_with("step "); });
  if (!earlier || !evaluation.step) return "--run " + shell_word(dir);
  return fmt::format("--checkpoint {} --config {}",
                     shell_word(fmt::format("{}/checkpoints/step-{}", dir, *evaluation.step)),
                     shell_word(dir + "/config.yaml"));
}

std::string eval_command(const Run& run, const Evaluation& evaluation, const std::string& dir) {
  std::string command = fmt::format("ssa-eval {} --mode {}", subject_of(evaluation, dir),
                                    shell_word(evaluation.mode));
  if (evaluation.mode == "ensemble" && evaluation.samples) {
    command += fmt::format(" --samples {}", *evaluation.samples);
  }
  command += fmt::format(" --split {}", shell_word(evaluation.split));
  if (evaluation.tokens && evaluation.split_tokens &&
      *evaluation.tokens < *evaluation.split_tokens) {
    command += fmt::format(" --max-tokens {}", *evaluation.tokens);
  }
  if (run.config.train.ema_decay > 0 && !evaluation.weights.empty()) {
    command += " --weights " + shell_word(evaluation.weights);
  }
  if (!evaluation.overrides.empty()) command += " --set";
  for (const std::string& text : evaluation.overrides) command += " " + shell_word(text);
  return command + "\n";
}

}  // namespace

std::string commands_section(const std::vector<Run>& runs) {
  std::string commands, all;
  for (const Run& run : runs) {
    const std::string dir = new_folder(run.dir);
    if (run.start.ranks.value_or(1) > 1) commands += fmt::format("mpirun -n {} ", *run.start.ranks);
    commands += fmt::format("ssa-train --config {} --run-dir {}\n",
                            shell_word(run.dir + "/config.yaml"), shell_word(dir));
    for (const Evaluation& evaluation : run.evaluations) {
      commands += eval_command(run, evaluation, dir);
    }
    all += " " + shell_word(dir);
  }
  commands += "ssa-report" + all + "\n";
  const std::string body = fmt::format(
      "<p class=\"about\">From the folder that this page was made in. The runs go to new folders, "
      "for ssa-train begins none where there is one.</p>\n<pre tabindex=\"0\">{}</pre>\n",
      escape(cut(commands, kMostTextBytes)));
  return section("commands", "Commands",
                 folded(runs, "How to make the runs and this page again", body));
}

}  // namespace ssa::report
