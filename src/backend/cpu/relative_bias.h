#pragma once

#include <optional>
#include <vector>

#include "ssa/backend/backend.h"

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/window_shapes.h"
#include "backend/position_grid.h"

namespace ssa::cpu {

/// How far the learned 2-D bias of an attention call reaches, in the layout that kernels read.
struct RelativeExtent {
  RelativeExtent(const PositionGrid& grid, const AttentionArgs& args);

  int64_t rows;          ///< of the table, at most those of the grid
  int64_t reach_across;  ///< PositionGrid::reach_across(), at most what the grid has
  int64_t stride;        ///< code distance of neighbouring rows
  int64_t table_size;    ///< floats of a head's table
  int64_t reach() const { return (rows - 1) * stride + reach_across; }
};

/// Bytes of the buffers of a RelativeBias, without looking at elements: the most that they may be,
/// since the number of tiles depends on how many windows have the same shape.
std::vector<int64_t> relative_bias_workspace(const AttentionArgs& args);
/// The same of its gradient.
std::vector<int64_t> relative_bias_gradient_workspace(const AttentionArgs& args);

/// The learned 2-D bias of an attention call, in the layout that kernels read. Empty if the
/// call has none.
///
/// Each head has a table with the biases of all pairs of grid cells. If windows are small and
/// several of them (or several sequences) have the same biases, these are also written out as a
/// tile, (S, T), from which kernels load whole vectors. The gradient takes the same forms: a band,
/// which is a table without its masked ends, or a tile.
class RelativeBias {
 public:
  explicit RelativeBias(const AttentionArgs& args);
  /// The tables for positions that are counted from `start`.
  RelativeTables tables(int64_t start) const;

  /// Floats of AttentionGradients::relative_band.
  int64_t band_size() const { return tables_.tables ? 2 * int64_t{tables_.reach} + 1 : 0; }
  /// Floats of AttentionGradients::relative_tile.
  int64_t tile_size() const { return tile_size_; }
  /// How many tiles the gradient of a head has: one per shape, or none.
  int64_t gradient_tiles() const { return tiles_for_gradients_ ? shapes_.count() : 0; }
  int64_t shape_of(int64_t window) const { return tables_.window_shape[window]; }
  /// band += the gradients of a tile. In the order of sources, then targets.
  void add_tile(int64_t shape, const float* tile, float* band) const;

  /// grad_table += the bands of all sequences and heads: (B, H) bands, `stride` floats apart, added
  /// in the order of the sequences.
  void add_gradient(const float* bands, int64_t stride, int64_t batch, Tensor& grad_table) const;

 private:
  void set_codes(const AttentionArgs& args);
  void fill_tables(const Tensor& table);
  void fill_tiles(const AttentionArgs& args);
  void fill_tile(int64_t shape, const float* center, float* tile) const;
  std::vector<int32_t> codes_of(const Tensor& positions, int64_t shape) const;

  std::optional<PositionGrid> grid_;
  int64_t heads_ = 0;
  int64_t rows_ = 0, reach_across_ = 0, stride_ = 0;  // as in RelativeExtent
  std::vector<int32_t> codes_;
  Tensor buffer_;
  PlanTensors plan_;
  WindowShapes shapes_;
  int64_t tile_size_ = 0;
  bool tiles_for_gradients_ = false;
  Tensor tiles_;
  RelativeTables tables_{};
};

}  // namespace ssa::cpu
