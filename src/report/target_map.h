#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::report {

/// The probability that one target of a grid may attend to each of its cells, estimated by drawing
/// plans of causal bands (Fig. 5 of the paper) or of Swin windows. Where a row has more columns
/// than the grid has rows, as with the three sub-pixels of a pixel, neighbouring columns share a
/// cell, so that cells are about square.
struct TargetMap {
  /// Rows top … bottom-1 and columns left … right-1.
  struct Area {
    int64_t top = 0, left = 0, bottom = 0, right = 0;
    bool operator==(const Area&) const = default;
  };

  int64_t rows = 0, columns = 0;              ///< cells of the map
  int64_t target_row = 0, target_column = 0;  ///< the cell that the target is in
  /// What the target would see without noise: its band, its sub-window, or with unbiased sampling
  /// its window. Several areas where a shift wraps it around an edge.
  std::vector<Area> own;
  std::string hidden;               ///< what the rows below are, none of which is visible
  int64_t hidden_from = 0;          ///< the first of them
  int draws = 0;                    ///< 0: too large to draw for a page
  std::vector<double> probability;  ///< (rows, columns); NaN: not visible

  double at(int64_t row, int64_t column) const {
    return probability[static_cast<size_t>(row * columns + column)];
  }
};

/// Whether a target of such a plan has a map: the plan's windows are causal bands or Swin's.
bool has_target_map(const PlanSpec& spec);

/// The map of one target, from up to `draws` plans with steps 0, 1, … of `key`. Of bands it is in
/// the middle of the one that comes after half of them; of Swin windows in one at the middle of the
/// map, which no edge cuts unless the map has only one. Throws ConfigError like draw_plan().
TargetMap estimate_target_map(PlanSpec spec, const RngKey& key, int draws);

/// An HTML figure with the target, its own area and the colour scale.
std::string render(const TargetMap& map, const std::string& title);

}  // namespace ssa::report
