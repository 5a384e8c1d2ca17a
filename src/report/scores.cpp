#include "report/scores.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

namespace ssa::report {

namespace {

bool is_better(const Metric& metric, double a, double b) {
  return metric.higher_is_better ? a > b : a < b;
}

std::optional<double> finite(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? value : std::nullopt;
}

/// "renorm", "ensemble of 50"
std::string inference_of(const Evaluation& evaluation) {
  if (evaluation.mode != "ensemble" || !evaluation.samples) return evaluation.mode;
  return fmt::format("{} of {}", evaluation.mode, grouped(*evaluation.samples));
}

Score score_of(const Evaluation& evaluation, double value, const TaskTraits& traits) {
  std::string about = fmt::format("{} split, {}", evaluation.split, inference_of(evaluation));
  if (evaluation.tokens) {
    about += fmt::format(", {} {}", grouped(*evaluation.tokens), traits.terms);
  }
  return {value, about};
}

std::optional<Score> best_validation_score(const Run& run, const Metric& metric) {
  const LoggedEvent* const best = best_validation(run, metric);
  if (!best) return std::nullopt;
  const auto value = finite(value_of(metric, *best));
  if (!value) return std::nullopt;
  std::string about = fmt::format("best validation, step {}", grouped(best->step));
  const int64_t part = run.config.train.eval_tokens;
  if (part > 0) {
    about += fmt::format(", at most {} {}", grouped(part), traits_of(run.config.task).terms);
  }
  return Score{*value, about};
}

/// One way to score all runs: ssa-eval's, or where `mode` is empty the last validation.
struct Kind {
  std::string mode, split;
};

std::optional<double> value_of_kind(const Run& run, const Kind& kind, const Metric& metric) {
  if (kind.mode.empty()) return finite(last_value(run, "valid", metric));
  return finite(value_of(metric, run.evaluation(kind.mode, kind.split)));
}

/// Scores of another number of terms are left out: they are of another part of the data.
void keep_comparable(const std::vector<Run>& runs, const Kind& kind, CommonScore& score) {
  std::optional<int64_t> terms;
  for (size_t i = 0; i < runs.size(); ++i) {
    const Evaluation* const evaluation = runs[i].evaluation(kind.mode, kind.split);
    if (!score.values[i] || !evaluation || !evaluation->tokens) continue;
    if (!terms) terms = evaluation->tokens;
    if (*evaluation->tokens != *terms) score.values[i].reset();
  }
}

CommonScore score_of_kind(const std::vector<Run>& runs, const Kind& kind, const Metric& metric) {
  CommonScore score;
  score.higher_is_better = metric.higher_is_better;
  score.name = kind.mode.empty() ? fmt::format("validation {}", metric.name)
                                 : fmt::format("{} {}, {}", kind.split, metric.name, kind.mode);
  for (const Run& run : runs) score.values.push_back(value_of_kind(run, kind, metric));
  if (!kind.mode.empty()) keep_comparable(runs, kind, score);
  return score;
}

}  // namespace

std::optional<Score> headline_score(const Run& run) {
  const TaskTraits& traits = traits_of(run.config.task);
  const Metric& metric = traits.metric();
  for (const char* split : {"test", "valid"}) {
    std::optional<Score> best;
    for (const char* mode : {"renorm", "ensemble"}) {
      const Evaluation* const evaluation = run.evaluation(mode, split);
      const auto value = finite(value_of(metric, evaluation));
      if (!value || (best && !is_better(metric, *value, best->value))) continue;
      best = score_of(*evaluation, *value, traits);
    }
    if (best) return best;
  }
  return best_validation_score(run, metric);
}

std::optional<size_t> CommonScore::best() const {
  std::optional<size_t> found;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] && (!found || is_better(*values[i], *values[*found]))) found = i;
  }
  return found;
}

std::optional<SeedSpread> spread_of(const CommonScore& score, const std::vector<size_t>& runs) {
  SeedSpread spread;
  for (const size_t i : runs) {
    if (!score.values[i]) continue;
    spread.mean += *score.values[i];
    ++spread.count;
  }
  if (spread.count == 0) return std::nullopt;
  spread.mean /= static_cast<double>(spread.count);
  if (spread.count == 1) return spread;
  double squares = 0;
  for (const size_t i : runs) {
    if (score.values[i]) squares += std::pow(*score.values[i] - spread.mean, 2);
  }
  spread.deviation = std::sqrt(squares / static_cast<double>(spread.count - 1));
  return spread;
}

std::string to_text(const SeedSpread& spread) {
  if (spread.count == 1) return significant(spread.mean);
  return fmt::format("{} ± {}", significant(spread.mean), significant(spread.deviation, 2));
}

CommonScore common_score(const std::vector<Run>& runs) {
  const Metric& metric = common_metric(runs);
  const bool alike =
      std::ranges::all_of(runs, [&](const Run& run) { return is_comparable(run, runs.front()); });
  CommonScore most;
  most.values.resize(runs.size());
  if (!alike) return most;
  const auto known = [](const CommonScore& score) {
    return std::ranges::count_if(score.values, [](const auto& value) { return value.has_value(); });
  };
  for (const Kind& kind : {Kind{"renorm", "test"}, Kind{"ensemble", "test"},
                           Kind{"renorm", "valid"}, Kind{"", "valid"}}) {
    CommonScore score = score_of_kind(runs, kind, metric);
    if (known(score) > known(most)) most = std::move(score);
  }
  return most;
}

}  // namespace ssa::report
