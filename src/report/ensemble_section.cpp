#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/sections.h"
#include "report/svg_plot.h"

namespace ssa::report {

namespace {

constexpr size_t kMostDots = 60;         // a curve with more points has a few markers
constexpr size_t kMostBands = 4;         // in a chart
constexpr size_t kMostCharts = 24;       // there may be one for each part of a split
constexpr size_t kMostTitleBytes = 200;  // what a score is of may be a long list

/// The ensembles of a split whose curves are shown: the run's own, or where there is none those of
/// something else, such as a part of the split.
std::vector<const Evaluation*> ensembles_of(const Run& run, std::string_view split) {
  std::vector<const Evaluation*> found;
  if (const Evaluation* own = run.evaluation("ensemble", split)) {
    found.push_back(own);
  } else {
    for (const Evaluation& other : run.evaluations) {
      if (other.mode == "ensemble" && other.split == split) found.push_back(&other);
    }
  }
  std::erase_if(found, [](const Evaluation* ensemble) { return ensemble->curve.empty(); });
  return found;
}

/// "test split"; of a score of something else also what is different.
std::string scored_on(const Evaluation& ensemble) {
  std::string text = ensemble.split + " split";
  for (const std::string& difference : ensemble.differences) text += "; " + difference;
  return text;
}

/// The dense score of the same data as an ensemble's; null if there is none.
const Evaluation* dense_beside(const Run& run, const Evaluation& ensemble) {
  if (ensemble.differences.empty()) {
    const Evaluation* renorm = run.evaluation("renorm", ensemble.split);
    return renorm && is_comparable(*renorm, ensemble) ? renorm : nullptr;
  }
  const auto beside = std::ranges::find_if(run.evaluations, [&](const Evaluation& other) {
    return other.mode == "renorm" && other.differences == ensemble.differences &&
           is_comparable(other, ensemble);
  });
  return beside == run.evaluations.end() ? nullptr : &*beside;
}

/// The dense score on the ensemble's items: its own, or that of another evaluation of the same
/// data.
std::optional<double> dense_value(const Run& run, const Evaluation& ensemble,
                                  const Metric& metric) {
  for (const auto& [key, value] : ensemble.renorm) {
    if (key == metric.key) return value;
  }
  return value_of(metric, dense_beside(run, ensemble));
}

/// Says in numbers what averaging gains. Empty if it was not measured.
std::string ensemble_sentence(const Run& run, const Evaluation& ensemble, const Metric& metric) {
  if (ensemble.curve.size() < 2) return {};
  const EnsemblePoint& one = ensemble.curve.front();
  const EnsemblePoint& all = ensemble.curve.back();
  std::string text = fmt::format(
      "<b>{}</b> ({}), {}: {} {} with {} sub-model{}, {} with {}", escape(run.scheme),
      escape(run.name), escape(cut(scored_on(ensemble), kMostTitleBytes)), significant(one.value),
      metric.name, one.samples, one.samples == 1 ? "" : "s", significant(all.value), all.samples);
  if (const auto value = dense_value(run, ensemble, metric)) {
    text += fmt::format("; one dense pass {}", significant(*value));
  }
  if (ensemble.difference && all.paired_error) {
    text += fmt::format(": the ensemble less renorm is {} ± {}", significant(*ensemble.difference),
                        significant(*all.paired_error));
  }
  return text + ".";
}

/// Adds the curve of a score to the chart of all that are of the same data.
void add_curve(Plot& plot, const Run& run, const Evaluation& ensemble, const Metric& metric) {
  Series series{fmt::format("{} {}", run.scheme, run.name), run.style, LineStyle::marked, {}};
  Band band{.style = run.style};
  for (const EnsemblePoint& point : ensemble.curve) {
    const auto samples = static_cast<double>(point.samples);
    series.points.push_back({samples, point.value});
    const std::optional<double> error = point.paired_error ? point.paired_error : point.error;
    if (!error) continue;  // of a single item
    band.x.push_back(samples);
    band.low.push_back(point.value - *error);
    band.high.push_back(point.value + *error);
  }
  if (series.points.size() > kMostDots) series.line = LineStyle::spaced;
  plot.series.push_back(std::move(series));
  if (!band.x.empty()) plot.bands.push_back(std::move(band));
  if (const auto value = dense_value(run, ensemble, metric)) {
    plot.horizontal.push_back({*value, run.style, "renorm"});
  }
}

/// The curves of a split in one chart, so that the runs share its axis. Scores of something else,
/// such as a part of the split, have a chart for each such thing.
std::vector<Plot> plots_of(const std::vector<Run>& runs, std::string_view split,
                           const Metric& metric) {
  std::vector<Plot> plots;
  for (const Run& run : runs) {
    for (const Evaluation* ensemble : ensembles_of(run, split)) {
      const std::string title(cut(scored_on(*ensemble), kMostTitleBytes));
      auto plot = std::ranges::find(plots, title, &Plot::title);
      if (plot == plots.end()) {
        plot = plots.insert(plot, {.title = title,
                                   .x_label = "sub-models averaged",
                                   .y_label = std::string(metric.name),
                                   .x_whole = true});
      }
      add_curve(*plot, run, *ensemble, metric);
    }
  }
  for (Plot& plot : plots) {
    if (plot.bands.size() > kMostBands) plot.bands.clear();
  }
  return plots;
}

/// What averaging gains, for each run.
std::vector<std::string> sentences_of(const std::vector<Run>& runs, std::string_view split,
                                      const Metric& metric) {
  std::vector<std::string> sentences;
  for (const Run& run : runs) {
    for (const Evaluation* ensemble : ensembles_of(run, split)) {
      sentences.push_back(ensemble_sentence(run, *ensemble, metric));
    }
  }
  std::erase(sentences, "");
  return sentences;
}

}  // namespace

std::string ensemble_section(const std::vector<Run>& runs) {
  const Metric& metric = common_metric(runs);
  std::vector<Plot> plots;
  std::vector<std::string> sentences;
  for (const std::string split : {"valid", "test"}) {
    std::ranges::move(plots_of(runs, split, metric), std::back_inserter(plots));
    std::ranges::move(sentences_of(runs, split, metric), std::back_inserter(sentences));
  }
  if (plots.size() > kMostCharts) plots.resize(kMostCharts);
  const std::string charts = chart_grid(plots);
  if (charts.empty()) return {};
  return section("ensemble", "Ensemble of sub-models",
                 legend(runs, false) + charts +
                     "<p class=\"about\">Score of the mean prediction of sub-models, each with "
                     "freshly drawn source plans: " +
                     std::string(metric.higher_is_better ? "higher" : "lower") +
                     " is better. Dashed: one dense pass (renorm). The band (of up to four curves) "
                     "is one standard error to either side, of the difference to renorm on the "
                     "same data: where the dashed line lies far outside, the two differ by more "
                     "than chance. Scores of older versions know the error of the score alone, "
                     "which is wider.</p>\n" +
                     bullet_list(sentences, "about"));
}

}  // namespace ssa::report
