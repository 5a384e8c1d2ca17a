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
constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr size_t kCrowd = 6;       // more training curves than this are hard to tell apart
constexpr size_t kMostRanges = 2;  // of training losses

/// The number of points of a training curve, so that a page with many runs stays small.
size_t most_points(size_t runs) { return std::clamp<size_t>(2400 / runs, 40, 300); }

/// What a training curve shows of one or more lines of the log.
struct Stretch {
  double x = 0, y = 0;  ///< means
  double low = 0, high = 0;
  double lines = 1;
};

/// Joins neighbours, so that at most `most` are left. Points that are not finite stay only where
/// they have no others to be joined with.
std::vector<Stretch> joined(const std::vector<Stretch>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<Stretch> result;
  for (size_t i = 0; i < most; ++i) {
    const size_t begin = i * points.size() / most, end = (i + 1) * points.size() / most;
    Stretch all{.low = kInfinity, .high = -kInfinity, .lines = 0};
    for (size_t j = begin; j < end; ++j) {
      const Stretch& one = points[j];
      if (!std::isfinite(one.y)) continue;
      all.x += one.x * one.lines;
      all.y += one.y * one.lines;
      all.low = std::min(all.low, one.low);
      all.high = std::max(all.high, one.high);
      all.lines += one.lines;
    }
    if (all.lines > 0) all.x /= all.lines, all.y /= all.lines;
    result.push_back(all.lines > 0 ? all : Stretch{points[begin].x, kUnknown, kUnknown, kUnknown});
  }
  return result;
}

std::vector<Point> line_of(const std::vector<Stretch>& stretches) {
  std::vector<Point> points;
  for (const Stretch& one : stretches) points.push_back({one.x, one.y});
  return points;
}

/// From the lowest to the highest line of the log in each stretch.
Band range_of(const std::vector<Stretch>& stretches, size_t style) {
  Band band{.style = style};
  for (const Stretch& one : stretches) {
    band.x.push_back(one.x);
    band.low.push_back(one.low);
    band.high.push_back(one.high);
  }
  return band;
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

/// The same of the training, joined for a chart.
std::vector<Stretch> training_of(const Run& run, const Position& position, const Value& value,
                                 size_t most) {
  std::vector<Stretch> points;
  for (const LoggedEvent& event : run.events) {
    if (event.split != "train") continue;
    const auto y = value(event);
    const double x = position(run, event);
    if (!y || !std::isfinite(x)) continue;
    points.push_back({x, *y, event.lowest_loss.value_or(*y), event.highest_loss.value_or(*y),
                      static_cast<double>(event.lines)});
  }
  std::ranges::stable_sort(points, {}, &Stretch::x);
  return joined(points, most);
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
void mark_finetuning(Plot& plot, const Run& run, const Position& position) {
  const int64_t start = run.finetune_start;
  if (start <= 0 || start >= run.config.train.steps) return;
  double at = kUnknown;  // of the last event before dense attention
  for (const MetricsEvent& event : run.events) {
    if (event.split == "train" && event.step <= start) at = position(run, event);
  }
  if (std::isfinite(at) && run.last_step() > start) plot.vertical.push_back({at, run.style, "+FT"});
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
  const size_t most = most_points(runs.size());
  for (const Run& run : runs) {
    const std::vector<Stretch> training = training_of(run, position, loss, most);
    if (runs.size() <= kMostRanges) plot.bands.push_back(range_of(training, run.style));
    // Where no validations mark the run, its training is marked.
    const bool validated = run.losses_of("valid").size() > 1;
    plot.series.push_back(
        {validated ? "" : run.name, run.style, LineStyle::thin, line_of(training)});
    mark_finetuning(plot, run, position);
  }
  plot.crowded = runs.size() > kCrowd;
  plot.y_most = upper_end(plot);
  for (const Run& run : runs) {
    plot.series.push_back({run.name, run.style, LineStyle::marked,
                           thinned(points_of(run, "valid", position, loss), most / 4)});
  }
  return plot;
}

/// The upper end of the axis of a metric of which less is better: the highest value of the last two
/// thirds of any run's validations, so that the differences at the end can be seen.
std::optional<double> upper_end_of(const Plot& plot) {
  constexpr size_t kFewest = 6;
  std::optional<double> end;
  for (const Series& series : plot.series) {
    const std::vector<Point>& points = series.points;
    if (points.empty()) continue;  // a run that is not counted in epochs
    if (points.size() < kFewest) return std::nullopt;
    for (size_t i = points.size() / 3; i < points.size(); ++i) {
      if (std::isfinite(points[i].y)) end = std::max(end.value_or(points[i].y), points[i].y);
    }
  }
  return end;
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
  for (const Run& run : runs) {
    plot.series.push_back(
        {run.name, run.style, LineStyle::marked,
         thinned(points_of(run, "valid", position, value), most_points(runs.size()) / 4)});
    mark_finetuning(plot, run, position);
  }
  if (!metric.higher_is_better) plot.y_most = upper_end_of(plot);
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

Plot over_time(const std::vector<Run>& runs, const std::string& title, const std::string& y_label,
               const Value& value) {
  const Unit time = time_unit(largest(runs, at_second));
  const Position position = divided(at_second, time.size);
  Plot plot{.title = title,
            .x_label = fmt::format("training time ({})", time.name),
            .y_label = y_label,
            .y_from_zero = true};
  for (const Run& run : runs) {
    plot.series.push_back(
        {run.name, run.style, LineStyle::spaced,
         line_of(training_of(run, position, value, most_points(runs.size()) / 2))});
    mark_finetuning(plot, run, position);
  }
  return plot;
}

/// The part of each stretch of steps between two logs that was spent waiting for data, in percent.
std::vector<Stretch> waiting_of(const Run& run) {
  std::vector<Stretch> points;
  double before = 0;
  for (const MetricsEvent& event : run.events) {
    if (event.split != "train" || !event.elapsed_seconds) continue;
    const double seconds = *event.elapsed_seconds - std::exchange(before, *event.elapsed_seconds);
    if (!event.data_wait_seconds || seconds <= 0) continue;
    points.push_back(
        {.x = static_cast<double>(event.step), .y = 100 * *event.data_wait_seconds / seconds});
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
  for (const Run& run : runs) {
    const std::vector<Stretch> points = waiting_of(run);
    noticeable = noticeable || std::ranges::any_of(points, [](const Stretch& point) {
                   return point.y > kNoticeable;
                 });
    plot.series.push_back({run.name, run.style, LineStyle::spaced,
                           line_of(joined(points, most_points(runs.size()) / 2))});
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
  const std::string charts = chart_grid(plots);
  if (charts.empty()) return {};
  return section(
      "loss", "Loss",
      legend(runs, true) + charts + "<p class=\"about\">" + loss_sentence(runs) +
          "Runs that lie together against steps but apart against time or compute learn the same "
          "at different cost. Validation is dense (renorm). Long training curves are smoothed: "
          "each point is the mean of neighbouring lines of the log, and the band of a page with "
          "one or two runs goes from the lowest of them to the highest. Compute counts the forward "
          "matrix products without the vocabulary layer; +FT marks where attention becomes dense. "
          "The first values may lie above the axis.</p>\n");
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
  const std::string charts = chart_grid({
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

}  // namespace ssa::report
