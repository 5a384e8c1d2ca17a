#include "report/source_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "report/html.h"
#include "report/numbers.h"
#include "report/ticks.h"

namespace ssa::report {

namespace {

constexpr int64_t kMostPositions = 8192;
constexpr double kMostWork = 3e7;  // positions shuffled, all draws together: about two seconds

constexpr int kLevels = 20;
constexpr double kWidth = 400, kLeft = 46, kRight = 14, kTop = 22, kBottom = 42;
constexpr double kInnerWidth = kWidth - kLeft - kRight;

/// Shortens a long input to a multiple of the windows: probabilities depend on x/N and σ only.
void shorten(PlanSpec& spec) {
  if (spec.positions <= kMostPositions) return;
  spec.positions = std::max<int64_t>(1, kMostPositions / spec.windows) * spec.windows;
}

void count_sources(SourceMap& map, const SourcePlan& plan) {
  for (int64_t window = 0; window < plan.windows; ++window) {
    const auto row = static_cast<size_t>(window) * map.rows / static_cast<size_t>(plan.windows);
    for (int64_t s = 0; s < plan.sources_per_window; ++s) {
      const int64_t position =
          plan.sources[static_cast<size_t>(window * plan.sources_per_window + s)];
      const auto bin =
          static_cast<size_t>(position) * map.bins / static_cast<size_t>(plan.positions);
      map.probability[row * map.bins + bin] += 1;
    }
    for (int64_t t = 0; t < plan.targets_per_window; ++t) {
      const auto target = static_cast<double>(
          plan.targets[static_cast<size_t>(window * plan.targets_per_window + t)]);
      const auto n = static_cast<double>(plan.positions);
      map.target_begin[row] = std::min(map.target_begin[row], target / n);
      map.target_end[row] = std::max(map.target_end[row], (target + 1) / n);
    }
  }
}

/// Numbers of members that fall into each of `groups` when i goes to i·groups/members.
std::vector<double> group_sizes(int64_t members, size_t groups) {
  std::vector<double> sizes(groups, 0.0);
  for (int64_t i = 0; i < members; ++i) {
    ++sizes[static_cast<size_t>(i) * groups / static_cast<size_t>(members)];
  }
  return sizes;
}

void normalise(SourceMap& map) {
  const std::vector<double> rows = group_sizes(map.windows, map.rows);
  const std::vector<double> bins = group_sizes(map.positions, map.bins);
  for (size_t row = 0; row < map.rows; ++row) {
    for (size_t bin = 0; bin < map.bins; ++bin) {
      map.probability[row * map.bins + bin] /= rows[row] * bins[bin] * map.draws;
    }
  }
}

int level_of(double probability) {
  return static_cast<int>(std::lround(std::clamp(probability, 0.0, 1.0) * kLevels));
}

/// One path a colour, each of the rectangles that equal neighbours make together.
std::string cells(const SourceMap& map, double row_height) {
  std::array<std::string, kLevels + 1> paths;
  const double width = kInnerWidth / static_cast<double>(map.bins);
  for (size_t row = 0; row < map.rows; ++row) {
    const double* line = map.probability.data() + row * map.bins;
    for (size_t begin = 0; begin < map.bins;) {
      const int level = level_of(line[begin]);
      size_t end = begin + 1;
      while (end < map.bins && level_of(line[end]) == level) ++end;
      // Absolute positions: neighbours share an edge exactly, whatever the rounding.
      paths[static_cast<size_t>(level)] += fmt::format(
          "M{0:.1f} {2:.1f}H{1:.1f}V{3:.1f}H{0:.1f}z", kLeft + static_cast<double>(begin) * width,
          kLeft + static_cast<double>(end) * width, kTop + static_cast<double>(row) * row_height,
          kTop + static_cast<double>(row + 1) * row_height - 1);
      begin = end;
    }
  }
  std::string html;
  for (int level = 1; level <= kLevels; ++level) {
    const std::string& path = paths[static_cast<size_t>(level)];
    if (path.empty()) continue;
    html += fmt::format(R"(<path class="heat" fill-opacity="{:.2f}" d="{}"/>)",
                        static_cast<double>(level) / kLevels, path);
  }
  return html;
}

std::string axes(const SourceMap& map, double row_height) {
  std::string html;
  const double bottom = kTop + row_height * static_cast<double>(map.rows);
  const double middle = kLeft + kInnerWidth / 2;
  html += fmt::format(R"(<text x="4" y="13" class="label">window</text>)");
  html += fmt::format(
      R"(<text x="{}" y="{}" text-anchor="middle" class="label">source position</text>)", middle,
      bottom + 35);
  const Range range{0, static_cast<double>(map.positions)};
  const std::vector<double> ticks = nice_ticks(range, 6);
  const std::vector<std::string> labels = tick_labels(ticks);
  std::string path = fmt::format("M{} {}h{}", kLeft, bottom, kInnerWidth);
  for (size_t i = 0; i < ticks.size(); ++i) {
    const double x = kLeft + ticks[i] / range.high * kInnerWidth;
    path += fmt::format("M{:.1f} {}v4", x, bottom);
    html += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle" class="tick">{}</text>)", x,
                        bottom + 17, labels[i]);
  }
  html += fmt::format(R"(<path class="axis" d="{}"/>)", path);
  for (size_t row = 0; row < map.rows; ++row) {
    const double y = kTop + row_height * static_cast<double>(row);
    const int64_t window = static_cast<int64_t>(row) * map.windows / static_cast<int64_t>(map.rows);
    html += fmt::format(R"(<text x="{}" y="{:.1f}" text-anchor="end" class="tick">{}</text>)",
                        kLeft - 6, y + row_height / 2 + 3.5, window + 1);
    const double begin = kLeft + map.target_begin[row] * kInnerWidth;
    const double end = kLeft + map.target_end[row] * kInnerWidth;
    html +=
        fmt::format(R"(<rect class="own" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)",
                    begin, y, end - begin, row_height - 1);
  }
  return html;
}

}  // namespace

SourceMap estimate_source_map(PlanSpec spec, const RngKey& key, int draws) {
  shorten(spec);
  validate(spec);
  SourceMap map;
  map.positions = spec.positions;
  map.windows = spec.kind == PlanKind::local_1d ? spec.windows : 1;
  const double shuffled = static_cast<double>(spec.positions) * static_cast<double>(map.windows);
  map.draws = static_cast<int>(std::min<double>(draws, kMostWork / shuffled));
  if (map.draws < 1) {
    map.draws = 0;
    return map;
  }
  map.rows = std::min(SourceMap::kMostRows, static_cast<size_t>(map.windows));
  map.bins = std::min(SourceMap::kMostBins, static_cast<size_t>(map.positions));
  map.probability.assign(map.rows * map.bins, 0.0);
  map.target_begin.assign(map.rows, 1.0);
  map.target_end.assign(map.rows, 0.0);
  RngKey step_key = key;
  for (int draw = 0; draw < map.draws; ++draw) {
    step_key.step = static_cast<uint32_t>(draw);
    count_sources(map, draw_plan(spec, step_key));
  }
  normalise(map);
  return map;
}

std::string render(const SourceMap& map, const std::string& title) {
  const double row_height = std::clamp(144.0 / static_cast<double>(map.rows), 14.0, 40.0);
  const double height = kTop + row_height * static_cast<double>(map.rows) + kBottom;
  const std::string description = fmt::format(
      "{}: probability that each of {} windows samples a source position, from {} draws.", title,
      map.windows, map.draws);
  return fmt::format(R"(<figure><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img" )"
                     R"(aria-label="{}">{}{}</svg></figure>)"
                     "\n",
                     escape(title), kWidth, height, escape(description), cells(map, row_height),
                     axes(map, row_height));
}

std::string source_map_scale() {
  std::string svg;
  constexpr double kStep = 10;
  for (int level = 0; level <= kLevels; level += 2) {
    svg += fmt::format(
        R"(<rect class="heat" fill-opacity="{:.2f}" x="{}" y="1" width="{}" height="10"/>)",
        static_cast<double>(level) / kLevels, 1 + level / 2 * kStep, kStep);
  }
  const double width = (kLevels / 2 + 1) * kStep;
  return fmt::format(
      R"(<span class="run">0 <svg class="scale" viewBox="0 0 {} 12" aria-hidden="true">{})"
      R"(<rect class="frame" x="1" y="1" width="{}" height="10"/></svg> 1</span>)",
      width + 2, svg, width);
}

}  // namespace ssa::report
