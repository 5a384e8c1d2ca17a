#pragma once

#include <optional>
#include <vector>

#include "ssa/backend/backend.h"

#include "backend/cpu/kernels/kernels.h"
#include "backend/position_grid.h"

namespace ssa::cpu {

/// The learned 2-D bias of an attention call, spread out for the kernels; nothing without one.
class RelativeBias {
 public:
  explicit RelativeBias(const AttentionArgs& args);
  /// Codes are looked up by positions that are counted from `start`.
  RelativeTables tables(int64_t start) const;
  /// Floats of AttentionGradients::relative_band.
  int64_t band_size() const { return tables_.tables ? 2 * int64_t{tables_.reach} + 1 : 0; }
  /// grad_table += the bands of all sequences and heads, (B, H) of them, `stride` floats apart. In
  /// the order of the sequences.
  void add_gradient(const float* bands, int64_t stride, int64_t batch, Tensor& grad_table) const;

 private:
  void set_codes(const AttentionArgs& args);
  void fill_tables(const Tensor& table);
  std::optional<PositionGrid> grid_;
  int64_t heads_ = 0;
  int64_t rows_ = 0, columns_ = 0;  // of the table, no more than those of the grid
  int64_t stride_ = 0;              // from one difference of rows to the next
  std::vector<int32_t> codes_;
  Tensor buffer_;
  RelativeTables tables_{};
};

}  // namespace ssa::cpu
