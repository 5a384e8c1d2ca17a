#include "report/source_map.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/heat_map.h"

namespace ssa::report {

namespace {

constexpr int64_t kMostPositions = 8192;
constexpr double kMostWork = 1e7;      // positions shuffled in all draws: less than a second
constexpr int64_t kMostOutlines = 32;  // windows that get a frame around their own positions

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

/// The positions that are both targets and sources of one window.
std::vector<HeatMap::Frame> own_windows(const SourceMap& map) {
  std::vector<HeatMap::Frame> frames;
  if (map.windows < 2 || map.windows > kMostOutlines) return frames;
  const double side = map.axis_end / static_cast<double>(map.windows);
  for (int64_t window = 0; window < map.windows; ++window) {
    const double begin = side * static_cast<double>(window);
    frames.push_back({begin, begin, begin + side, begin + side});
  }
  return frames;
}

}  // namespace

PlanSpec shortened(PlanSpec spec) {
  if (spec.positions <= kMostPositions) return spec;
  const int64_t windows = std::max<int64_t>(1, spec.windows);
  const auto whole_windows = [windows](double size) {
    return std::max<int64_t>(1, static_cast<int64_t>(size) / windows) * windows;
  };
  if (is_grid(spec)) {
    const double part =
        std::sqrt(static_cast<double>(kMostPositions) / static_cast<double>(spec.positions));
    spec.rows = whole_windows(part * static_cast<double>(spec.rows));
    spec.columns =
        std::max<int64_t>(1, static_cast<int64_t>(part * static_cast<double>(spec.columns)));
    spec.positions = spec.rows * spec.columns;
  } else if (spec.kind != PlanKind::local_2d && !has_swin_windows(spec)) {
    spec.positions = whole_windows(kMostPositions);
  }
  return spec;
}

bool is_grid(const PlanSpec& spec) { return spec.kind == PlanKind::local_2d && spec.causal; }

bool is_shifted(const PlanSpec& spec) {
  return has_swin_windows(spec) && (spec.shift_rows > 0 || spec.shift_columns > 0);
}

int affordable_draws(const PlanSpec& spec, int draws) {
  const bool shuffles_again = spec.kind == PlanKind::local_1d || is_grid(spec);
  const double shuffled =
      static_cast<double>(spec.positions) * static_cast<double>(shuffles_again ? spec.windows : 1);
  return static_cast<int>(std::min<double>(draws, kMostWork / shuffled));
}

SourceMap estimate_source_map(PlanSpec spec, const RngKey& key, int draws) {
  spec = shortened(spec);
  validate(spec);
  SourceMap map;
  map.positions = spec.positions;
  map.windows = spec.kind == PlanKind::local_1d || is_grid(spec) ? spec.windows : 1;
  map.causal = spec.causal;
  const int64_t counted = is_grid(spec) ? spec.rows : spec.positions;
  map.axis_end = static_cast<double>(counted);
  map.unit = is_grid(spec) ? "row" : "position";
  map.draws = affordable_draws(spec, draws);
  if (map.draws == 0) return map;
  map.bins = std::min(SourceMap::kMostBins, static_cast<size_t>(counted));
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
  const HeatMap::Axis axis{
      .label = fmt::format(" {}", map.unit), .cells = map.bins, .end = map.axis_end};
  HeatMap figure{.title = title,
                 .description = fmt::format(
                     "Targets down, sources across, {} positions each: the probability that a "
                     "target's window samples a source, from {} draws.",
                     grouped(map.positions), map.draws),
                 .down = axis,
                 .across = axis,
                 .probability = map.probability,
                 .dashed = own_windows(map)};
  figure.down.label.insert(0, "target");
  figure.across.label.insert(0, "source");
  if (map.causal) figure.note = {"future: not visible", 0.2, 0.72};
  return render(figure);
}

}  // namespace ssa::report
