#pragma once

#include <cstdlib>

#include "ssa/backend/backend.h"

namespace ssa {

/// The grid of a learned 2-D bias, and the size of its table (AttentionArgs::relative_table).
///
/// Position p is in row p / row_positions(). Its column and its channel are one number, its code
/// across: column·(2K - 1) + channel. A difference of two codes tells those of columns and channels
/// apart, and is the table's index but for an offset. With K = 1 the code is the column.
class PositionGrid {
 public:
  /// Throws ShapeError unless the table has the size that rows, columns, channels and heads ask
  /// for.
  explicit PositionGrid(const AttentionArgs& args)
      : grid_columns_(args.grid_columns),
        grid_channels_(args.grid_channels),
        rows_(args.relative_rows),
        columns_(args.relative_columns),
        channels_(args.relative_channels) {
    SSA_CHECK(grid_columns_ > 0, "attention: a learned 2-D bias over a grid of {} columns",
              grid_columns_);
    SSA_CHECK(rows_ > 0 && columns_ > 0,
              "attention: a learned 2-D bias of {} rows and {} columns; both must be positive",
              rows_, columns_);
    SSA_CHECK(grid_channels_ > 0 && (channels_ == 1 || channels_ == grid_channels_),
              "attention: a learned 2-D bias of {} channels over a grid with {} in each cell; give "
              "as many, or 1 not to tell them apart",
              channels_, grid_channels_);
    const Shape wanted{table_rows(), args.query.dim(2)};
    SSA_CHECK(args.relative_table.shape() == wanted,
              "attention: relative_table has shape {} instead of {}, for {} rows, {} columns, {} "
              "channels and {} heads",
              to_string(args.relative_table.shape()), to_string(wanted), rows_, columns_, channels_,
              args.query.dim(2));
  }

  int64_t rows() const { return rows_; }
  int64_t grid_channels() const { return grid_channels_; }
  int64_t row_positions() const { return grid_columns_ * grid_channels_; }
  /// By how much the codes of neighbouring columns differ.
  int64_t column_stride() const { return 2 * channels_ - 1; }
  /// The largest difference of codes across that has an entry.
  int64_t reach_across() const { return (columns_ - 1) * column_stride() + channels_ - 1; }
  int64_t table_rows() const { return (2 * rows_ - 1) * (2 * reach_across() + 1); }

  int64_t code_across(int64_t position) const {
    const int64_t in_row = position % row_positions();
    const int64_t channel = channels_ > 1 ? in_row % grid_channels_ : 0;
    return in_row / grid_channels_ * column_stride() + channel;
  }

  /// The table's row for a pair at this distance, target minus source, in rows and codes across. -1
  /// if the table has no row for it: the pair is masked.
  int64_t entry(int64_t down, int64_t across) const {
    const int64_t reach = reach_across();
    if (std::abs(down) >= rows_ || std::abs(across) > reach) return -1;
    return (down + rows_ - 1) * (2 * reach + 1) + across + reach;
  }
  int64_t entry_of(int64_t target, int64_t source) const {
    return entry(target / row_positions() - source / row_positions(),
                 code_across(target) - code_across(source));
  }

 private:
  int64_t grid_columns_, grid_channels_;
  int64_t rows_, columns_, channels_;
};

}  // namespace ssa
