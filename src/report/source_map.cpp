#include "report/source_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/html.h"
#include "report/ticks.h"

namespace ssa::report {

namespace {

constexpr int64_t kMostPositions = 8192;
constexpr double kMostWork = 1e7;      // positions shuffled in all draws: less than a second
constexpr int64_t kMostOutlines = 32;  // windows that get a frame around their own positions

// In units of the SVG's view box, like the charts beside it.
constexpr int kLevels = 20;
constexpr double kWidth = 400, kSide = 290, kLeft = 46, kTop = 26, kBottom = 42;
constexpr double kScaleLeft = kLeft + kSide + 18, kScaleWidth = 12;

/// The number of a window's sources before each position: (positions + 1).
using SourcesBefore = std::vector<int32_t>;

class PairCounts {
 public:
  PairCounts(const SourceMap& map) : map_(map), counts_(map.bins * map.bins, 0.0) {
    for (size_t bin = 0; bin <= map.bins; ++bin) {
      begins_.push_back(
          (static_cast<int64_t>(bin) * map.positions + static_cast<int64_t>(map.bins) - 1) /
          static_cast<int64_t>(map.bins));
    }
  }

  /// Counts each pair of a target and a source that it may see.
  void add(int64_t target, const SourcesBefore& before) {
    const auto row = static_cast<size_t>(target) * map_.bins / static_cast<size_t>(map_.positions);
    const int64_t end = map_.causal ? target + 1 : map_.positions;
    for (size_t bin = 0; bin < map_.bins && begins_[bin] < end; ++bin) {
      const auto first = static_cast<size_t>(begins_[bin]);
      const auto last = static_cast<size_t>(std::min(begins_[bin + 1], end));
      counts_[row * map_.bins + bin] += before[last] - before[first];
    }
  }

  void add(const SourcePlan& plan) {
    SourcesBefore before(static_cast<size_t>(plan.positions) + 1);
    for (int64_t window = 0; window < plan.windows; ++window) {
      std::fill(before.begin(), before.end(), 0);
      const int64_t first_source = window * plan.sources_per_window;
      for (int64_t s = 0; s < plan.sources_per_window; ++s) {
        before[static_cast<size_t>(plan.sources[static_cast<size_t>(first_source + s)]) + 1] = 1;
      }
      for (size_t i = 1; i < before.size(); ++i) before[i] += before[i - 1];
      const int64_t first_target = window * plan.targets_per_window;
      for (int64_t t = 0; t < plan.targets_per_window; ++t) {
        add(plan.targets[static_cast<size_t>(first_target + t)], before);
      }
    }
  }

  const std::vector<double>& counts() const { return counts_; }

 private:
  const SourceMap& map_;
  std::vector<int64_t> begins_;  // of each bin, and the end of the last
  std::vector<double> counts_;
};

/// The counts if every target saw all sources that causality allows.
std::vector<double> allowed_pairs(const SourceMap& map) {
  SourcesBefore before;
  for (int64_t i = 0; i <= map.positions; ++i) before.push_back(static_cast<int32_t>(i));
  PairCounts pairs(map);
  for (int64_t target = 0; target < map.positions; ++target) pairs.add(target, before);
  return pairs.counts();
}

/// -1: not allowed.
int level_of(double probability) {
  if (std::isnan(probability)) return -1;
  return static_cast<int>(std::lround(std::clamp(probability, 0.0, 1.0) * kLevels));
}

/// Rises fast at first, so that rare sources are visible too.
double opacity_of(int level) { return std::pow(static_cast<double>(level) / kLevels, 0.7); }

/// Sources that were never sampled look different from sources that causality forbids.
std::string allowed_area(const SourceMap& map) {
  std::string path = map.causal ? "M0 0" : fmt::format("M0 0H{0}V{0}", map.bins);
  for (size_t row = 1; map.causal && row <= map.bins; ++row) path += fmt::format("H{0}V{0}", row);
  return fmt::format(R"(<path class="past" d="{}H0z"/>)", path);
}

/// One path per colour, made of rectangles that join equal neighbouring cells. A cell is one unit.
std::string cells(const SourceMap& map) {
  std::vector<int> levels;
  for (const double probability : map.probability) levels.push_back(level_of(probability));
  std::array<std::string, kLevels + 1> paths;
  const size_t bins = map.bins;
  const auto same = [&](size_t row, size_t begin, size_t end, int level) {
    const auto first = levels.begin() + static_cast<std::ptrdiff_t>(row * bins);
    return std::all_of(first + static_cast<std::ptrdiff_t>(begin),
                       first + static_cast<std::ptrdiff_t>(end),
                       [level](int other) { return other == level; });
  };
  for (size_t row = 0; row < bins; ++row) {
    for (size_t begin = 0; begin < bins; ++begin) {
      const int level = levels[row * bins + begin];
      if (level < 0) continue;
      size_t end = begin + 1, bottom = row + 1;
      while (end < bins && levels[row * bins + end] == level) ++end;
      while (bottom < bins && same(bottom, begin, end, level)) ++bottom;
      paths[static_cast<size_t>(level)] +=
          fmt::format("M{} {}h{}v{}h-{}z", begin, row, end - begin, bottom - row, end - begin);
      for (size_t r = row; r < bottom; ++r) {
        std::fill_n(levels.begin() + static_cast<std::ptrdiff_t>(r * bins + begin), end - begin,
                    -1);
      }
    }
  }
  std::string html = fmt::format(R"svg(<g transform="translate({} {}) scale({:.5f})">)svg", kLeft,
                                 kTop, kSide / static_cast<double>(bins));
  html += allowed_area(map);
  for (int level = 1; level <= kLevels; ++level) {
    const std::string& path = paths[static_cast<size_t>(level)];
    if (path.empty()) continue;
    html += fmt::format(R"(<path class="heat" fill-opacity="{:.2f}" d="{}"/>)", opacity_of(level),
                        path);
  }
  return html + "</g>";
}

/// Frames around the positions that are both targets and sources of one window.
std::string own_windows(const SourceMap& map) {
  if (map.windows < 2 || map.windows > kMostOutlines) return {};
  std::string path;
  const double side = kSide / static_cast<double>(map.windows);
  for (int64_t window = 0; window < map.windows; ++window) {
    const double at = static_cast<double>(window) * side;
    path += fmt::format("M{:.1f} {:.1f}h{:.1f}v{:.1f}h-{:.1f}z", kLeft + at, kTop + at, side, side,
                        side);
  }
  return fmt::format(R"(<path class="own" d="{}"/>)", path);
}

std::string text(double x, double y, const char* anchor, const char* style,
                 const std::string& content) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>)", x, y,
                     anchor, style, content);
}

std::string axes(const SourceMap& map) {
  constexpr double kEnd = kTop + kSide;
  std::string html = text(4, 13, "start", "label", "target position");
  html += text(kLeft + kSide / 2, kEnd + 35, "middle", "label", "source position");
  const Range range{0, static_cast<double>(map.positions)};
  const std::vector<double> ticks = nice_ticks(range, 6);
  const std::vector<std::string> labels = tick_labels(ticks);
  std::string path = fmt::format("M{} {}v{}h{}", kLeft, kTop, kSide, kSide);
  for (size_t i = 0; i < ticks.size(); ++i) {
    const double along = ticks[i] / range.high * kSide;
    path += fmt::format("M{:.1f} {}v4M{} {:.1f}h-4", kLeft + along, kEnd, kLeft, kTop + along);
    html += text(kLeft + along, kEnd + 17, "middle", "tick", labels[i]);
    html += text(kLeft - 6, kTop + along + 4, "end", "tick", labels[i]);
  }
  if (map.causal) {
    html +=
        text(kLeft + kSide * 0.72, kTop + kSide * 0.2, "middle", "label", "future: not visible");
  }
  return html + fmt::format(R"(<path class="axis" d="{}"/>)", path);
}

std::string scale() {
  constexpr double kStep = kSide / kLevels;
  std::string html = fmt::format(R"(<rect class="past" x="{}" y="{}" width="{}" height="{}"/>)",
                                 kScaleLeft, kTop, kScaleWidth, kSide);
  for (int level = 1; level <= kLevels; ++level) {
    html += fmt::format(
        R"(<rect class="heat" fill-opacity="{:.2f}" x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>)",
        opacity_of(level), kScaleLeft, kTop + kStep * (kLevels - level), kScaleWidth, kStep);
  }
  for (const double p : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    html += text(kScaleLeft + kScaleWidth + 5, kTop + kSide * (1 - p) + 4, "start", "tick",
                 fmt::format("{}", p));
  }
  return html + text(kWidth, 13, "end", "label", "probability");
}

}  // namespace

PlanSpec shortened(PlanSpec spec) {
  if (spec.positions > kMostPositions) {
    const int64_t windows = std::max<int64_t>(1, spec.windows);
    spec.positions = std::max<int64_t>(1, kMostPositions / windows) * windows;
  }
  return spec;
}

SourceMap estimate_source_map(PlanSpec spec, const RngKey& key, int draws) {
  spec = shortened(spec);
  validate(spec);
  SourceMap map;
  map.positions = spec.positions;
  map.windows = spec.kind == PlanKind::local_1d ? spec.windows : 1;
  map.causal = spec.causal;
  const double shuffled = static_cast<double>(spec.positions) * static_cast<double>(map.windows);
  map.draws = static_cast<int>(std::min<double>(draws, kMostWork / shuffled));
  if (map.draws < 1) {
    map.draws = 0;
    return map;
  }
  map.bins = std::min(SourceMap::kMostBins, static_cast<size_t>(map.positions));
  PairCounts pairs(map);
  RngKey step_key = key;
  for (int draw = 0; draw < map.draws; ++draw) {
    step_key.step = static_cast<uint32_t>(draw);
    pairs.add(draw_plan(spec, step_key));
  }
  const std::vector<double> allowed = allowed_pairs(map);
  for (size_t i = 0; i < allowed.size(); ++i) {
    map.probability.push_back(allowed[i] > 0 ? pairs.counts()[i] / (allowed[i] * map.draws)
                                             : std::numeric_limits<double>::quiet_NaN());
  }
  return map;
}

std::string render(const SourceMap& map, const std::string& title) {
  const std::string description = fmt::format(
      "Targets down, sources across, {} positions each: the probability that a target's window "
      "samples a source, from {} draws.",
      grouped(map.positions), map.draws);
  return fmt::format(R"(<figure><figcaption>{0}</figcaption><svg viewBox="0 0 {1} {2}" role="img">)"
                     R"(<title>{0}</title><desc>{3}</desc>{4}{5}{6}{7}</svg></figure>)"
                     "\n",
                     escape(title), kWidth, kTop + kSide + kBottom, escape(description), cells(map),
                     own_windows(map), axes(map), scale());
}

}  // namespace ssa::report
