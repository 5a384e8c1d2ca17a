#include "backend/cpu/relative_bias.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "backend/cpu/parallel.h"
#include "backend/cpu/workspace.h"

namespace ssa::cpu {

namespace {

constexpr int64_t kMostFloatsPerTile = 1 << 16, kMostFloats = 1 << 22;

int64_t grid_rows(const PositionGrid& grid, int64_t positions) {
  return (positions + grid.row_positions() - 1) / grid.row_positions();
}

/// Floats from one source of a tile to the next.
int64_t tile_stride(const AttentionArgs& args) {
  return (args.plan.targets_per_window() + kBiasTileTargets - 1) / kBiasTileTargets *
         kBiasTileTargets;
}

/// Floats of a tile; 0 if tiles would be too large.
int64_t tile_floats(const AttentionArgs& args) {
  const int64_t floats = args.plan.sources_per_window() * tile_stride(args);
  return floats > kMostFloatsPerTile ? 0 : floats;
}

}  // namespace

RelativeExtent::RelativeExtent(const PositionGrid& grid, const AttentionArgs& args) {
  const int64_t positions = args.query_start + args.query.dim(1);
  const int64_t last_code = grid.code_across(std::min(grid.row_positions(), positions) - 1);
  rows = std::min(args.relative_rows, grid_rows(grid, positions));
  reach_across = std::min(grid.reach_across(), last_code);
  stride = 2 * last_code + 1;
  table_size = (2 * grid_rows(grid, positions) - 1) * stride;
}

std::vector<int64_t> relative_bias_workspace(const AttentionArgs& args) {
  if (!args.relative_table.defined()) return {};
  const RelativeExtent extent(PositionGrid(args), args);
  const int64_t heads = args.query.dim(2), windows = args.plan.windows();
  const int64_t of_a_shape = heads * tile_floats(args);
  const int64_t shapes = windows * of_a_shape <= kMostFloats ? windows : 1;
  const bool shared = args.query.dim(0) * windows >= 2 * shapes;
  const int64_t tiles = shared && shapes * of_a_shape <= kMostFloats ? shapes * of_a_shape : 0;
  constexpr auto kFloat = int64_t{sizeof(float)};
  return {heads * extent.table_size * kFloat, tiles * kFloat};
}

std::vector<int64_t> relative_bias_gradient_workspace(const AttentionArgs& args) {
  if (!args.relative_table.defined()) return {};
  const int64_t band = 2 * RelativeExtent(PositionGrid(args), args).reach() + 1;
  const BufferSizes of_heads(args.query.dim(0) * args.query.dim(2), band);
  const BufferSizes of_threads(omp_get_max_threads(), std::max(band, tile_floats(args)));
  return {of_heads.bytes(), of_threads.bytes()};
}

RelativeBias::RelativeBias(const AttentionArgs& args) {
  if (!args.relative_table.defined()) return;
  grid_.emplace(args);
  heads_ = args.query.dim(2);
  set_codes(args);
  fill_tables(args.relative_table);
  fill_tiles(args);
}

RelativeTables RelativeBias::tables(int64_t start) const {
  RelativeTables result = tables_;
  if (result.code != nullptr) result.code += start;
  return result;
}

void RelativeBias::set_codes(const AttentionArgs& args) {
  const RelativeExtent extent(*grid_, args);
  rows_ = extent.rows;
  reach_across_ = extent.reach_across;
  stride_ = extent.stride;
  const int64_t positions = args.query_start + args.query.dim(1);
  for (int64_t p = 0; p < positions; ++p) {
    const int64_t row = p / grid_->row_positions();
    codes_.push_back(static_cast<int32_t>(row * stride_ + grid_->code_across(p)));
  }
  tables_.code = codes_.data();
  tables_.size = static_cast<int32_t>(extent.table_size);
  tables_.center = tables_.size / 2;
  tables_.reach = static_cast<int32_t>(extent.reach());
}

void RelativeBias::fill_tables(const Tensor& table) {
  buffer_ =
      Tensor::empty({heads_, tables_.size}, DType::f32, Device::cpu, MemoryCategory::workspace);
  float* out = buffer_.data<float>();
  const float* entries = table.data<float>();
  parallel_items(heads_, [&](int64_t h) {
    float* own = out + h * tables_.size;
    std::fill_n(own, tables_.size, -std::numeric_limits<float>::infinity());
    for (int64_t down = 1 - rows_; down < rows_; ++down) {
      float* center = own + tables_.center + down * stride_;
      const int64_t middle = grid_->entry(down, 0);
      for (int64_t across = -reach_across_; across <= reach_across_; ++across) {
        center[across] = entries[(middle + across) * heads_ + h];
      }
    }
  });
  tables_.tables = out;
}

std::vector<int32_t> RelativeBias::codes_of(const Tensor& positions, int64_t shape) const {
  const int64_t count = positions.dim(1);
  const int32_t* position = positions.data<int32_t>() + shapes_.first_window(shape) * count;
  std::vector<int32_t> codes;
  for (int64_t i = 0; i < count; ++i) codes.push_back(codes_[static_cast<size_t>(position[i])]);
  return codes;
}

void RelativeBias::fill_tiles(const AttentionArgs& args) {
  const int64_t windows = args.plan.windows();
  const int64_t size = tile_floats(args);
  if (size == 0) return;
  WindowShapes shapes(args.plan, codes_);
  const bool shared = args.query.dim(0) * windows >= 2 * shapes.count();
  if (!shared || shapes.count() * heads_ * size > kMostFloats) return;

  shapes_ = std::move(shapes);
  plan_ = args.plan;
  tile_size_ = size;
  tiles_for_gradients_ = windows >= 2 * shapes_.count();
  tiles_ = Tensor::empty({shapes_.count() * heads_, size}, DType::f32, Device::cpu,
                         MemoryCategory::workspace);
  tables_.tiles = tiles_.data<float>();
  tables_.window_shape = shapes_.of_windows().data();
  tables_.tile_stride = tile_stride(args);
  float* out = tiles_.data<float>();
  parallel_items(shapes_.count() * heads_, [&](int64_t item) {
    const int64_t shape = item / heads_, head = item % heads_;
    fill_tile(shape, tables_.tables + head * tables_.size + tables_.center, out + item * size);
  });
}

void RelativeBias::fill_tile(int64_t shape, const float* center, float* tile) const {
  const auto targets = codes_of(plan_.targets, shape), sources = codes_of(plan_.sources, shape);
  for (const int32_t source : sources) {
    float* end = tile;
    for (const int32_t target : targets) *end++ = center[target - source];
    std::fill(end, tile + tables_.tile_stride, 0.0f);
    tile += tables_.tile_stride;
  }
}

void RelativeBias::add_tile(int64_t shape, const float* tile, float* band) const {
  const auto targets = codes_of(plan_.targets, shape), sources = codes_of(plan_.sources, shape);
  const auto [lowest, highest] = std::minmax_element(targets.begin(), targets.end());
  for (const int32_t source : sources) {
    float* center = band + tables_.reach - source;
    if (source - *lowest <= tables_.reach && *highest - source <= tables_.reach) {
      for (size_t t = 0; t < targets.size(); ++t) center[targets[t]] += tile[t];
    } else {  // some pairs are farther apart than the band reaches; they are masked
      for (size_t t = 0; t < targets.size(); ++t) {
        if (std::abs(targets[t] - source) <= tables_.reach) center[targets[t]] += tile[t];
      }
    }
    tile += tables_.tile_stride;
  }
}

void RelativeBias::add_gradient(const float* bands, int64_t stride, int64_t batch,
                                Tensor& grad_table) const {
  float* out = grad_table.data<float>();
  parallel_items(2 * rows_ - 1, [&](int64_t row) {
    const int64_t down = row + 1 - rows_;
    for (int64_t across = -reach_across_; across <= reach_across_; ++across) {
      float* to = out + grid_->entry(down, across) * heads_;
      const float* from = bands + tables_.reach + down * stride_ + across;
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t h = 0; h < heads_; ++h) to[h] += from[(b * heads_ + h) * stride];
      }
    }
  });
}

}  // namespace ssa::cpu
