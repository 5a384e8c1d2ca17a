#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/sections.h"

namespace ssa::report {

namespace {

constexpr size_t kLastLogs = 10;

/// The mean of the last few logged training losses, because a single one is noisy.
std::optional<double> final_train_loss(const Run& run) {
  const auto events = run.losses_of("train");
  const size_t count = std::min(kLastLogs, events.size());
  double sum = 0;
  for (size_t i = events.size() - count; i < events.size(); ++i) sum += *events[i]->loss;
  return count > 0 ? std::optional(sum / static_cast<double>(count)) : std::nullopt;
}

std::optional<double> final_valid_loss(const Run& run) {
  return last_value(run, "valid", loss_metric());
}

std::optional<double> tokens_per_second(const Run& run) {
  std::vector<double> rates;
  for (const MetricsEvent& event : run.events) {
    const double rate = event.tokens_per_second.value_or(0);
    if (event.split == "train" && rate > 0 && std::isfinite(rate)) rates.push_back(rate);
  }
  return median(std::move(rates));
}

std::optional<double> step_seconds(const Run& run) {
  const auto rate = tokens_per_second(run);
  return rate ? std::optional(run.terms_per_step() / *rate) : std::nullopt;
}

template <class T>
std::optional<double> largest(const Run& run, std::optional<T> MetricsEvent::*member) {
  std::optional<double> most;
  for (const MetricsEvent& event : run.events) {
    if (!(event.*member)) continue;
    const auto value = static_cast<double>(*(event.*member));
    if (std::isfinite(value) && (!most || value > *most)) most = value;
  }
  return most;
}

/// The difference from the first run: "+1.2%".
std::string against(std::optional<double> value, std::optional<double> first) {
  if (!value || !first || *first == 0) return significant(std::nullopt);
  return fmt::format("{:+.2f}%", 100 * (*value / *first - 1));
}

std::string metric_text(const Metric& metric, const Evaluation* evaluation) {
  return significant(value_of(metric, evaluation));
}

/// The best of several validations, and when it was: "81.20 (epoch 288)".
std::string best_text(const Run& run, const Metric& metric) {
  const LoggedEvent* const best = best_validation(run, metric);
  if (!best || run.losses_of("valid").size() < 2) return significant(std::nullopt);
  const std::string score = significant(value_of(metric, *best));
  const auto epoch = epoch_of_step(run.config, best->step);
  return epoch ? fmt::format("{} (epoch {:.4g})", score, *epoch)
               : fmt::format("{} (step {})", score, grouped(best->step));
}

std::string cost_text(const Run& run, const std::function<std::string(const TrainingCost&)>& text) {
  return run.cost ? text(*run.cost) : significant(std::nullopt);
}

/// The summary's rows: a heading and one cell per run.
class Summary {
 public:
  explicit Summary(const std::vector<Run>& runs) : runs_(runs) {
    table_.numbers = true;
    std::vector<std::string> heads = {"run"};
    for (size_t i = 0; i < runs.size(); ++i) heads.push_back(run_chip(runs[i]));
    table_.rows.push_back(std::move(heads));
  }

  void add(const std::string& heading, const std::function<std::string(const Run&)>& cell) {
    std::vector<std::string> row = {escape(heading)};
    for (const Run& run : runs_) row.push_back(escape(cell(run)));
    table_.rows.push_back(std::move(row));
  }

  /// The same, unless the cells of all runs are empty.
  void add_if_known(const std::string& heading,
                    const std::function<std::string(const Run&)>& cell) {
    const std::string none = significant(std::nullopt);
    const auto known = [&](const Run& run) { return cell(run) != none; };
    if (std::any_of(runs_.begin(), runs_.end(), known)) add(heading, cell);
  }

  const Table& table() const { return table_; }

 private:
  const std::vector<Run>& runs_;
  Table table_;
};

void add_evaluations(Summary& summary, const Metric& metric) {
  for (const std::string split : {"valid", "test"}) {
    summary.add_if_known(fmt::format("{}: {}, renorm", split, metric.name), [=](const Run& run) {
      const Evaluation* evaluation = run.evaluation("renorm", split);
      return metric_text(metric, evaluation);
    });
    summary.add_if_known(fmt::format("{}: {}, ensemble", split, metric.name), [=](const Run& run) {
      const Evaluation* evaluation = run.evaluation("ensemble", split);
      std::string text = metric_text(metric, evaluation);
      if (evaluation && evaluation->loss && evaluation->samples) {
        text += fmt::format(" (of {})", *evaluation->samples);
      }
      return text;
    });
    summary.add_if_known(fmt::format("{}: spread of sub-models", split), [=](const Run& run) {
      const Evaluation* evaluation = run.evaluation("ensemble", split);
      return significant(evaluation ? evaluation->spread : std::nullopt, 3);
    });
  }
}

void add_losses(Summary& summary, const std::vector<Run>& runs) {
  const std::string unit =
      common_loss_unit(runs).empty() ? "" : fmt::format(",{}", common_loss_unit(runs));
  summary.add(fmt::format("training loss{} (last {} logs)", unit, kLastLogs),
              [](const Run& run) { return significant(final_train_loss(run)); });
  summary.add("validation loss" + unit,
              [](const Run& run) { return significant(final_valid_loss(run)); });
  if (runs.size() > 1) {
    const auto first = final_valid_loss(runs.front());
    summary.add_if_known("validation loss against the first run", [&](const Run& run) {
      const bool compare = &run != &runs.front() && is_comparable(run, runs.front());
      return compare ? against(final_valid_loss(run), first) : against({}, {});
    });
  }
  const Metric metric = common_metric(runs);
  if (metric.key != loss_metric().key) {
    summary.add(fmt::format("validation {}", metric.name),
                [metric](const Run& run) { return significant(last_value(run, "valid", metric)); });
  }
  summary.add_if_known(fmt::format("best validation {}", metric.name),
                       [metric](const Run& run) { return best_text(run, metric); });
  add_evaluations(summary, metric);
}

void add_costs(Summary& summary, std::string_view rate) {
  summary.add("parameters", [](const Run& run) {
    return with_prefix(run.parameters ? std::optional(static_cast<double>(*run.parameters))
                                      : std::nullopt);
  });
  summary.add("C: compute against dense", [](const Run& run) {
    return cost_text(run, [](const TrainingCost& c) { return significant(c.compute_ratio, 3); });
  });
  summary.add("forward compute of the run", [](const Run& run) {
    return cost_text(run, [](const TrainingCost& cost) {
      const double flop = cost.train_exaflop * 1e18;
      const Unit unit = flop_unit(flop);
      return significant(flop / unit.size, 3) + " " + unit.name;
    });
  });
  summary.add("steps", [](const Run& run) {
    return fmt::format("{} of {}", grouped(run.last_step()), grouped(run.config.train.steps));
  });
  summary.add("step time, median", [](const Run& run) { return duration_text(step_seconds(run)); });
  summary.add(fmt::format("{} per second, median", rate),
              [](const Run& run) { return grouped_number(tokens_per_second(run)); });
  summary.add("training time", [](const Run& run) {
    return duration_text(largest(run, &MetricsEvent::elapsed_seconds));
  });
  summary.add("peak memory", [](const Run& run) { return bytes_text(run.peak_memory_bytes()); });
}

}  // namespace

std::string summary_section(const std::vector<Run>& runs) {
  Summary summary(runs);
  add_losses(summary, runs);
  add_costs(summary, common_rate(runs));
  const Table& table = summary.table();
  return section("summary", "Summary",
                 render(runs.size() > kMostColumns ? transposed(table) : table));
}

}  // namespace ssa::report
