#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/sections.h"
#include "report/svg_plot.h"

namespace ssa::report {

namespace {

/// The position of an event on the x axis; NaN: unknown.
using Position = std::function<double(const Run&, const MetricsEvent&)>;
using Value = std::function<std::optional<double>(const MetricsEvent&)>;

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

constexpr size_t kCrowd = 6;             // more training curves than this are hard to tell apart
constexpr size_t kMostDots = 60;         // a curve with more points is a plain line
constexpr size_t kMostEnsembles = 24;    // charts
constexpr size_t kMostTitleBytes = 200;  // what a score is of may be a long list

/// The number of points of a training curve, so that a page with many runs stays small.
size_t most_points(size_t runs) { return std::clamp<size_t>(2400 / runs, 40, 300); }

/// Replaces groups of neighbouring points by their means, so that at most `most` points are left.
std::vector<Point> smoothed(const std::vector<Point>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<Point> result;
  for (size_t i = 0; i < most; ++i) {
    const size_t begin = i * points.size() / most, end = (i + 1) * points.size() / most;
    Point sum;
    double count = 0;
    for (size_t j = begin; j < end; ++j) {
      if (!std::isfinite(points[j].y)) continue;
      sum.x += points[j].x;
      sum.y += points[j].y;
      ++count;
    }
    result.push_back(count > 0 ? Point{sum.x / count, sum.y / count}
                               : Point{points[begin].x, kUnknown});
  }
  return result;
}

/// At most `most` of the points, with the last one.
std::vector<Point> thinned(const std::vector<Point>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<Point> result;
  for (size_t i = 1; i <= most; ++i) result.push_back(points[i * points.size() / most - 1]);
  return result;
}

std::vector<Point> points_of(const Run& run, std::string_view split, const Position& position,
                             const Value& value) {
  std::vector<Point> points;
  for (const MetricsEvent& event : run.events) {
    if (event.split != split) continue;
    const auto y = value(event);
    const double x = position(run, event);
    if (y && std::isfinite(x)) points.push_back({x, *y});
  }
  std::stable_sort(points.begin(), points.end(),
                   [](const Point& a, const Point& b) { return a.x < b.x; });
  return points;
}

double at_step(const Run&, const MetricsEvent& event) { return static_cast<double>(event.step); }

double at_epoch(const Run& run, const MetricsEvent& event) {
  return epoch_of_step(run.config, event.step).value_or(kUnknown);
}

double at_second(const Run&, const MetricsEvent& event) {
  return event.elapsed_seconds.value_or(kUnknown);
}

double at_flop(const Run& run, const MetricsEvent& event) {
  return run.flop_until(static_cast<double>(event.step)).value_or(kUnknown);
}

double largest(const std::vector<Run>& runs, const Position& position) {
  double most = 0;
  for (const Run& run : runs) {
    for (const MetricsEvent& event : run.events) {
      const double x = position(run, event);
      if (std::isfinite(x)) most = std::max(most, x);
    }
  }
  return most;
}

/// Marks the start of +FT if the run has reached it.
void mark_finetuning(Plot& plot, const Run& run, size_t color, const Position& position) {
  const int64_t start = run.finetune_start;
  if (start <= 0 || start >= run.config.train.steps) return;
  double at = kUnknown;  // of the last event before dense attention
  for (const MetricsEvent& event : run.events) {
    if (event.split == "train" && event.step <= start) at = position(run, event);
  }
  if (std::isfinite(at) && run.last_step() > start) plot.vertical.push_back({at, color, "+FT"});
}

/// The upper end of the loss axis. The first few losses lie far above the rest and are cut off.
std::optional<double> upper_end(const Plot& plot) {
  constexpr double kPart = 0.94;
  std::vector<double> values;
  for (const Series& series : plot.series) {
    for (size_t i = 0; i < series.points.size(); ++i) {
      if (std::isfinite(series.points[i].y)) values.push_back(series.points[i].y);
    }
  }
  if (values.size() < 20) return std::nullopt;
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(kPart * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

Plot loss_plot(const std::vector<Run>& runs, const std::string& title, const std::string& x_label,
               const Position& position) {
  const std::string_view unit = common_loss_unit(runs);  // " nats"
  Plot plot{.title = title,
            .x_label = x_label,
            .y_label = unit.empty() ? "loss" : fmt::format("loss ({})", unit.substr(1))};
  const Value loss = [](const MetricsEvent& event) { return event.loss; };
  for (size_t i = 0; i < runs.size(); ++i) {
    const size_t most = most_points(runs.size());
    plot.series.push_back(
        {"", i, LineStyle::thin, smoothed(points_of(runs[i], "train", position, loss), most)});
    mark_finetuning(plot, runs[i], i, position);
  }
  plot.crowded = runs.size() > kCrowd;
  plot.y_most = upper_end(plot);
  for (size_t i = 0; i < runs.size(); ++i) {
    plot.series.push_back(
        {runs[i].name, i, LineStyle::marked,
         thinned(points_of(runs[i], "valid", position, loss), most_points(runs.size()) / 4)});
  }
  return plot;
}

/// A metric of the validations; `axis` is "step" or "epoch".
Plot metric_plot(const std::vector<Run>& runs, const Metric& metric, const std::string& axis,
                 const Position& position) {
  std::string name(metric.name);
  name.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(name.front())));
  Plot plot{.title = fmt::format("{} against {}s", name, axis),
            .x_label = axis,
            .y_label = std::string(metric.name)};
  const Value value = [&metric](const MetricsEvent& event) { return value_of(metric, event); };
  for (size_t i = 0; i < runs.size(); ++i) {
    plot.series.push_back(
        {runs[i].name, i, LineStyle::marked,
         thinned(points_of(runs[i], "valid", position, value), most_points(runs.size()) / 4)});
    mark_finetuning(plot, runs[i], i, position);
  }
  return plot;
}

/// Each metric against steps, and against epochs for the runs that are counted in them. The loss
/// has plots of its own.
std::vector<Plot> metric_plots(const std::vector<Run>& runs) {
  std::vector<Plot> plots;
  for (const Metric& metric : common_metrics(runs)) {
    if (metric.key == loss_metric().key) continue;
    plots.push_back(metric_plot(runs, metric, "step", at_step));
    plots.push_back(metric_plot(runs, metric, "epoch", at_epoch));
  }
  return plots;
}

Position divided(Position position, double size) {
  return [position = std::move(position), size](const Run& run, const MetricsEvent& event) {
    return position(run, event) / size;
  };
}

/// The charts that are not empty, side by side.
std::string grid(const std::vector<Plot>& plots) {
  std::string html;
  for (const Plot& plot : plots) {
    if (!is_empty(plot)) html += render(plot);
  }
  return html.empty() ? html : "<div class=\"charts\">\n" + html + "</div>\n";
}

Plot over_time(const std::vector<Run>& runs, const std::string& title, const std::string& y_label,
               const Value& value) {
  const Unit time = time_unit(largest(runs, at_second));
  const Position position = divided(at_second, time.size);
  Plot plot{.title = title,
            .x_label = fmt::format("training time ({})", time.name),
            .y_label = y_label,
            .y_from_zero = true};
  for (size_t i = 0; i < runs.size(); ++i) {
    plot.series.push_back(
        {runs[i].name, i, LineStyle::plain,
         smoothed(points_of(runs[i], "train", position, value), most_points(runs.size()) / 2)});
    mark_finetuning(plot, runs[i], i, position);
  }
  return plot;
}

/// The part of each stretch of steps between two logs that was spent waiting for data, in percent.
std::vector<Point> waiting_of(const Run& run) {
  std::vector<Point> points;
  double before = 0;
  for (const MetricsEvent& event : run.events) {
    if (event.split != "train" || !event.elapsed_seconds) continue;
    const double seconds = *event.elapsed_seconds - std::exchange(before, *event.elapsed_seconds);
    if (!event.data_wait_seconds || seconds <= 0) continue;
    points.push_back({static_cast<double>(event.step), 100 * *event.data_wait_seconds / seconds});
  }
  return points;
}

/// Empty if no run ever waited for a noticeable part of its time.
Plot waiting_plot(const std::vector<Run>& runs) {
  constexpr double kNoticeable = 1;  // percent
  Plot plot{.title = "Time waiting for data",
            .x_label = "step",
            .y_label = "% of the step time",
            .y_from_zero = true};
  bool noticeable = false;
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::vector<Point> points = waiting_of(runs[i]);
    noticeable = noticeable || std::ranges::any_of(points, [](const Point& point) {
                   return point.y > kNoticeable;
                 });
    plot.series.push_back(
        {runs[i].name, i, LineStyle::plain, smoothed(points, most_points(runs.size()) / 2)});
  }
  if (!noticeable) plot.series.clear();
  return plot;
}

bool all_comparable(const std::vector<Run>& runs) {
  return std::all_of(runs.begin(), runs.end(),
                     [&](const Run& run) { return is_comparable(run, runs.front()); });
}

/// Says which runs end lowest and highest, and by how much they differ.
std::string loss_sentence(const std::vector<Run>& runs) {
  if (!all_comparable(runs)) {
    return "The runs are validated on different data, or parts or windows of them: their losses "
           "do not compare. ";
  }
  const Run* best = nullptr;
  const Run* worst = nullptr;
  double lowest = 0, highest = 0;
  for (const Run& run : runs) {
    const auto events = run.losses_of("valid");
    if (events.empty() || !std::isfinite(*events.back()->loss)) continue;
    const double loss = *events.back()->loss;
    if (!best || loss < lowest) best = &run, lowest = loss;
    if (!worst || loss > highest) worst = &run, highest = loss;
  }
  if (!best) return {};
  const auto bold = [](const Run& run) {
    return fmt::format("<b>{}</b> ({})", escape(run.scheme), escape(run.name));
  };
  const std::string_view unit = common_loss_unit(runs);
  if (best == worst) {
    return fmt::format("Validation ends at {}{}, at step {}. ", significant(lowest), unit,
                       grouped(best->losses_of("valid").back()->step));
  }
  return fmt::format("Validation ends lowest for {}, at {}{}, and highest for {}, {:.1f}% above. ",
                     bold(*best), significant(lowest), unit, bold(*worst),
                     100 * (highest / lowest - 1));
}

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
      "<li><b>{}</b> ({}), {}: {} {} with {} sub-model{}, {} with {}", escape(run.scheme),
      escape(run.name), escape(cut(scored_on(ensemble), kMostTitleBytes)), significant(one.value),
      metric.name, one.samples, one.samples == 1 ? "" : "s", significant(all.value), all.samples);
  if (const auto value = dense_value(run, ensemble, metric)) {
    text += fmt::format("; one dense pass {}", significant(*value));
  }
  if (ensemble.difference && all.paired_error) {
    text += fmt::format(": the ensemble less renorm is {} ± {}", significant(*ensemble.difference),
                        significant(*all.paired_error));
  }
  return text + ".</li>\n";
}

/// One chart per score: the gain from averaging is small compared with the differences between
/// runs.
Plot ensemble_plot(const Run& run, size_t color, const Evaluation& ensemble, const Metric& metric) {
  Plot plot{
      .title = std::string(cut(fmt::format("{} {}, {}", run.scheme, run.name, scored_on(ensemble)),
                               kMostTitleBytes)),
      .x_label = "sub-models averaged",
      .y_label = std::string(metric.name),
      .x_whole = true};
  Series series{ensemble.mode, color, LineStyle::marked, {}};
  Band band{.color = color};
  for (const EnsemblePoint& point : ensemble.curve) {
    const auto samples = static_cast<double>(point.samples);
    series.points.push_back({samples, point.value});
    band.x.push_back(samples);
    const double error = point.paired_error.value_or(point.error);
    band.low.push_back(point.value - error);
    band.high.push_back(point.value + error);
  }
  if (series.points.size() > kMostDots) series.style = LineStyle::plain;
  plot.series.push_back(std::move(series));
  plot.bands.push_back(std::move(band));
  if (const auto value = dense_value(run, ensemble, metric)) {
    plot.horizontal.push_back({*value, color, "renorm"});
  }
  return plot;
}

}  // namespace

std::string loss_section(const std::vector<Run>& runs) {
  const Unit time = time_unit(largest(runs, at_second));
  const Unit flop = flop_unit(largest(runs, at_flop));
  std::vector<Plot> plots = {
      loss_plot(runs, "Loss against steps", "step", at_step),
      loss_plot(runs, "Loss against time", fmt::format("training time ({})", time.name),
                divided(at_second, time.size)),
      loss_plot(runs, "Loss against compute", fmt::format("forward compute ({})", flop.name),
                divided(at_flop, flop.size)),
  };
  std::ranges::move(metric_plots(runs), std::back_inserter(plots));
  const std::string charts = grid(plots);
  if (charts.empty()) return {};
  return section(
      "loss", "Loss",
      legend(runs, true) + charts + "<p class=\"about\">" + loss_sentence(runs) +
          "Runs that lie together against steps but apart against time or compute learn the same "
          "at different cost. Validation is dense (renorm). Long training curves are smoothed: "
          "each point is the mean of neighbouring logs. Compute counts the forward matrix "
          "products without the vocabulary layer; +FT marks where attention becomes dense. The "
          "first losses may lie above the axis.</p>\n");
}

std::string speed_section(const std::vector<Run>& runs) {
  const Value memory = [](const MetricsEvent& event) {
    return event.peak_memory_bytes ? std::optional(static_cast<double>(*event.peak_memory_bytes))
                                   : std::nullopt;
  };
  double most = 0;
  for (const Run& run : runs) {
    for (const MetricsEvent& event : run.events) most = std::max(most, memory(event).value_or(0));
  }
  const Unit unit = memory_unit(most);
  const std::string charts = grid({
      over_time(runs, "Throughput", fmt::format("{} per second", common_rate(runs)),
                [](const MetricsEvent& event) { return event.tokens_per_second; }),
      over_time(runs, "Peak memory", fmt::format("peak memory ({})", unit.name),
                [&](const MetricsEvent& event) -> std::optional<double> {
                  const auto bytes = memory(event);
                  return bytes ? std::optional(*bytes / unit.size) : std::nullopt;
                }),
      waiting_plot(runs),
  });
  if (charts.empty()) return {};
  return section(
      "speed", "Speed and memory",
      legend(runs, false) + charts +
          "<p class=\"about\">Throughput is that of whole batches, without evaluating, drawing "
          "samples and saving. Memory is the most that tensors have held so far. A dip in speed "
          "may be another program on the machine; where +FT begins, a step costs more. A run that "
          "waits for its data needs more data.workers, or faster files.</p>\n");
}

std::string ensemble_section(const std::vector<Run>& runs) {
  const Metric& metric = common_metric(runs);
  std::vector<Plot> plots;
  std::string sentences;
  for (const std::string split : {"valid", "test"}) {
    for (size_t i = 0; i < runs.size(); ++i) {
      for (const Evaluation* ensemble : ensembles_of(runs[i], split)) {
        sentences += ensemble_sentence(runs[i], *ensemble, metric);
        Plot plot = ensemble_plot(runs[i], i, *ensemble, metric);
        if (!is_empty(plot) && plots.size() < kMostEnsembles) plots.push_back(std::move(plot));
      }
    }
  }
  const std::string charts = grid(plots);
  if (charts.empty()) return {};
  return section("ensemble", "Ensemble of sub-models",
                 charts +
                     "<p class=\"about\">Score of the mean prediction of sub-models, each with "
                     "freshly drawn source plans: " +
                     std::string(metric.higher_is_better ? "higher" : "lower") +
                     " is better. Dashed: one dense pass (renorm). The band is one standard error "
                     "to either side, of the difference to renorm on the same data: where the "
                     "dashed line lies far outside, the two differ by more than chance. Scores of "
                     "older versions know the error of the score alone, which is wider.</p>\n<ul "
                     "class=\"about scroll-list\">\n" +
                     sentences + "</ul>\n");
}

}  // namespace ssa::report
