#pragma once

#include <cstdlib>

#include "ssa/backend/backend.h"

namespace ssa {

/// The grid of a learned 2-D bias, and the size of its table (AttentionArgs::relative_table).
/// Position p is cell (p / grid_columns, p % grid_columns).
class PositionGrid {
 public:
  /// Throws ShapeError unless the table has the size that rows, columns and heads ask for.
  explicit PositionGrid(const AttentionArgs& args)
      : grid_columns_(args.grid_columns),
        rows_(args.relative_rows),
        columns_(args.relative_columns) {
    SSA_CHECK(grid_columns_ > 0, "attention: a learned 2-D bias over a grid of {} columns",
              grid_columns_);
    SSA_CHECK(rows_ > 0 && columns_ > 0,
              "attention: a learned 2-D bias of {} rows and {} columns; both must be positive",
              rows_, columns_);
    const Shape wanted{table_rows(), args.query.dim(2)};
    SSA_CHECK(args.relative_table.shape() == wanted,
              "attention: relative_table has shape {} instead of {}, for {} rows, {} columns and "
              "{} heads",
              to_string(args.relative_table.shape()), to_string(wanted), rows_, columns_,
              args.query.dim(2));
  }

  int64_t grid_columns() const { return grid_columns_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t table_rows() const { return (2 * rows_ - 1) * columns_across(); }

  /// The table's row for a pair at this distance, target minus source. -1 if the table has no row
  /// for it: the pair is masked.
  int64_t entry(int64_t down, int64_t right) const {
    if (std::abs(down) >= rows_ || std::abs(right) >= columns_) return -1;
    return (down + rows_ - 1) * columns_across() + right + columns_ - 1;
  }
  int64_t entry_of(int64_t target, int64_t source) const {
    return entry(target / grid_columns_ - source / grid_columns_,
                 target % grid_columns_ - source % grid_columns_);
  }

 private:
  int64_t columns_across() const { return 2 * columns_ - 1; }

  int64_t grid_columns_, rows_, columns_;
};

}  // namespace ssa
