#pragma once

#include "ssa/backend/backend.h"

namespace ssa {

/// The grid on which a learned 2-D bias counts (AttentionArgs::relative_table): position p is cell
/// (p / columns, p % columns).
class PositionGrid {
 public:
  /// Throws ShapeError unless the table is that of a grid that holds all of the call's positions.
  explicit PositionGrid(const AttentionArgs& args) : columns_(args.grid_columns) {
    const Tensor& table = args.relative_table;
    const int64_t positions = args.query_start + args.query.dim(1), heads = args.query.dim(2);
    SSA_CHECK(columns_ > 0, "attention: a learned 2-D bias over a grid of {} columns", columns_);
    const bool fits = table.rank() == 2 && table.dim(0) % offsets_across() == 0 &&
                      table.dim(0) / offsets_across() % 2 == 1 && table.dim(1) == heads;
    SSA_CHECK(fits,
              "attention: relative_table has shape {} instead of ((2R-1)·{}, {}), for R rows of {}",
              to_string(table.shape()), offsets_across(), heads, columns_);
    rows_ = (table.dim(0) / offsets_across() + 1) / 2;
    SSA_CHECK(rows_ * columns_ >= positions,
              "attention: relative_table is for {} rows of {}, too few for {} positions", rows_,
              columns_, positions);
  }

  int64_t columns() const { return columns_; }
  int64_t table_rows() const { return (2 * rows_ - 1) * offsets_across(); }
  /// The table's row where source and target are one.
  int64_t center() const { return table_rows() / 2; }
  /// Target i and source j have the table's row code(i) - code(j) + center().
  int64_t code(int64_t position) const {
    return position / columns_ * offsets_across() + position % columns_;
  }

 private:
  int64_t offsets_across() const { return 2 * columns_ - 1; }

  int64_t columns_, rows_ = 0;
};

}  // namespace ssa
