#include "backend/cpu/relative_bias.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "backend/cpu/parallel.h"

namespace ssa::cpu {

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
  const int64_t positions = args.query_start + args.query.dim(1);
  const int64_t per_row = grid_->row_positions();
  const int64_t grid_rows = (positions + per_row - 1) / per_row;
  const int64_t last_code = grid_->code_across(std::min(per_row, positions) - 1);
  rows_ = std::min(args.relative_rows, grid_rows);
  reach_across_ = std::min(grid_->reach_across(), last_code);
  stride_ = 2 * last_code + 1;
  for (int64_t p = 0; p < positions; ++p) {
    codes_.push_back(static_cast<int32_t>(p / per_row * stride_ + grid_->code_across(p)));
  }
  tables_.code = codes_.data();
  tables_.size = static_cast<int32_t>((2 * grid_rows - 1) * stride_);
  tables_.center = tables_.size / 2;
  tables_.reach = static_cast<int32_t>((rows_ - 1) * stride_ + reach_across_);
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
  constexpr int64_t kMostFloatsPerTile = 1 << 16, kMostFloats = 1 << 22;
  const int64_t windows = args.plan.windows();
  const int64_t stride =
      (args.plan.targets_per_window() + kBiasTileTargets - 1) / kBiasTileTargets * kBiasTileTargets;
  const int64_t size = args.plan.sources_per_window() * stride;
  if (size > kMostFloatsPerTile) return;
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
  tables_.tile_stride = stride;
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
