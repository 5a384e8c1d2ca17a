#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

namespace ssa::report {

/// The probability that one target of a grid may attend to each of its cells, estimated by drawing
/// plans of causal bands (Fig. 5 of the paper). Where a row has more columns than the grid has
/// rows, as with the three sub-pixels of a pixel, neighbouring columns share a cell, so that cells
/// are about square.
struct TargetMap {
  int64_t rows = 0, columns = 0;              ///< cells of the map
  int64_t target_row = 0, target_column = 0;  ///< the cell that the target is in
  int64_t band_begin = 0, band_end = 0;       ///< the rows of its window
  int draws = 0;                              ///< 0: too large to draw for a page
  std::vector<double> probability;  ///< (rows, columns); NaN: after the target, not visible

  double at(int64_t row, int64_t column) const {
    return probability[static_cast<size_t>(row * columns + column)];
  }
};

/// The map of the target in the middle of the band that comes after half of them, from up to
/// `draws` plans with steps 0, 1, … of `key`. The spec is_grid(). Throws ConfigError like
/// draw_plan().
TargetMap estimate_target_map(PlanSpec spec, const RngKey& key, int draws);

/// An HTML figure with the target, its band and the colour scale.
std::string render(const TargetMap& map, const std::string& title);

}  // namespace ssa::report
