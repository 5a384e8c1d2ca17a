#pragma once

#include <string>

#include "ssa/nn/parameters.h"
#include "ssa/ops/ops.h"

namespace ssa::nn {

/// The reach of a learned 2-D bias: the farthest pair's R rows and C columns. No bias if both are
/// 0.
struct RelativeReach {
  int64_t rows = 0;
  int64_t columns = 0;
  bool causal = false;   ///< only sources in the target's row and in rows above it have entries
  int64_t channels = 1;  ///< K, those of the grid, or 1: channels are not told apart

  int64_t entries_per_row() const { return (2 * columns - 1) * (2 * channels - 1); }
};

/// A learned bias for each distance in rows, columns and channels, for one layer or shared by
/// several (Liu et al. 2021). Parameter `NAME` ((2R-1)·(2C-1)·(2K-1), H), or with R instead of 2R-1
/// if it is causal; without weight decay.
class RelativeTable {
 public:
  /// Throws ShapeError unless the reach has rows and columns.
  RelativeTable(ParameterStore& store, const std::string& name, int64_t heads,
                const RelativeReach& reach);
  /// The bias on a grid of this many columns, and channels in each cell.
  ops::RelativeBias on_grid(int64_t grid_columns, int64_t grid_channels) const;

 private:
  RelativeReach reach_;
  Variable entries_;
};

}  // namespace ssa::nn
