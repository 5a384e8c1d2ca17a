#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::report {

/// The probability that a target may attend to a source, estimated by drawing plans (Fig. 5 of the
/// paper). Neighbouring positions share a bin if there are more than kMostBins.
struct SourceMap {
  int64_t positions = 0;  ///< of the drawn plans; σ is a fraction of it, so shorter ones look alike
  int64_t windows = 0;    ///< of the plan
  bool causal = false;
  int draws = 0;
  double axis_end = 0;  ///< what the axes count: the positions, or the rows of a grid
  std::string unit;     ///< of the axes: "position", "row"
  size_t bins = 0;      ///< groups of positions, at most kMostBins; of a grid its rows
  /// (bins, bins), targets down, sources across: mean over the pairs that causality allows; NaN if
  /// it allows none.
  std::vector<double> probability;

  double at(size_t target, size_t source) const { return probability[target * bins + source]; }

  static constexpr size_t kMostBins = 64;
};

/// The spec with fewer positions if there are too many to draw for a page. The look of a plan only
/// depends on σ and on positions relative to the length.
PlanSpec shortened(PlanSpec spec);

/// Whether the plan's windows are causal bands of rows of a grid.
bool is_grid(const PlanSpec& spec);

/// Whether the plan's windows are those of a Swin transformer after a cyclic shift.
bool is_shifted(const PlanSpec& spec);

/// `draws`, or fewer if the plans are too large to draw so often for a page; 0: too large at all.
int affordable_draws(const PlanSpec& spec, int draws);

/// Draws up to `draws` plans with steps 0, 1, … of `key`: fewer if the plans are large, none if
/// they are too large to draw for a page. Throws ConfigError like draw_plan().
SourceMap estimate_source_map(PlanSpec spec, const RngKey& key, int draws);

/// An HTML figure: a square with targets down and sources across, in a stronger colour for sources
/// that are sampled more often, and the colour scale.
std::string render(const SourceMap& map, const std::string& title);

}  // namespace ssa::report
