#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::report {

/// How likely each target may attend to each source, estimated by drawing plans (Fig. 5 of the
/// paper). Neighbouring positions are put together where there are more than can be told apart.
struct SourceMap {
  int64_t positions = 0;  ///< drawn with; σ is a fraction of it, so a shorter input looks the same
  int64_t windows = 0;    ///< of the plan
  bool causal = false;
  int draws = 0;
  size_t bins = 0;  ///< groups of positions, at most kMostBins
  /// (bins, bins), targets down, sources across: mean over the pairs that causality allows; NaN
  /// where it allows none.
  std::vector<double> probability;

  double at(size_t target, size_t source) const { return probability[target * bins + source]; }

  static constexpr size_t kMostBins = 64;
};

/// The spec for fewer positions where there are too many to be drawn for a page. What a plan looks
/// like depends on positions as parts of the input and on σ only.
PlanSpec shortened(PlanSpec spec);

/// Draws up to `draws` plans (fewer of large ones, to stay quick) with steps 0, 1, … of `key`. A
/// map without draws if the plan is too large to be drawn for a page. Throws ConfigError as
/// draw_plan().
SourceMap estimate_source_map(PlanSpec spec, const RngKey& key, int draws);

/// An HTML figure: a square, targets down, sources across, stronger in colour where a source is
/// sampled more often, with the scale of its colours.
std::string render(const SourceMap& map, const std::string& title);

}  // namespace ssa::report
