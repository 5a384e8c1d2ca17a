#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::report {

/// How often each window samples each source position, estimated by drawing plans. Positions and
/// windows are put together where there are more than can be told apart on a page.
struct SourceMap {
  int64_t positions = 0;  ///< drawn with; σ is a fraction of it, so a shorter input looks the same
  int64_t windows = 0;    ///< of the plan
  int draws = 0;
  size_t rows = 0;                  ///< groups of neighbouring windows, at most kMostRows
  size_t bins = 0;                  ///< groups of neighbouring positions, at most kMostBins
  std::vector<double> probability;  ///< (rows, bins), mean over the group
  /// Per row, the part of the input [begin, end) that its targets are in, from 0 to 1.
  std::vector<double> target_begin, target_end;

  static constexpr size_t kMostRows = 16;
  static constexpr size_t kMostBins = 96;
};

/// Draws up to `draws` plans (fewer of large ones, to stay quick) with steps 0, 1, … of `key`. A
/// map without draws if the plan is too large to be drawn for a page. Throws ConfigError as
/// draw_plan().
SourceMap estimate_source_map(PlanSpec spec, const RngKey& key, int draws);

/// An HTML figure: a row a window, darker where a position is sampled more often.
std::string render(const SourceMap& map, const std::string& title);

/// The scale of the colours, from 0 to 1.
std::string source_map_scale();

}  // namespace ssa::report
