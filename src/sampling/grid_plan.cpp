// Plans over a grid: local blocks, causal bands of rows, windows of a Swin transformer.

#include <algorithm>

#include "sampling/noisy_order.h"
#include "sampling/plan_kinds.h"

namespace ssa {

namespace {

/// Sorts the sources inside each window (SourcePlan says why).
void sort_sources(SourcePlan& plan) {
  for (auto first = plan.sources.begin(); first != plan.sources.end();
       first += plan.sources_per_window) {
    std::sort(first, first + plan.sources_per_window);
  }
}

void draw_bands(const PlanSpec& spec, const RngKey& key, SourcePlan& plan) {
  const double row_scale = noise_scale(spec.sigma, spec.rows);
  const double column_scale = noise_scale(spec.sigma_columns, spec.columns);
  for (int64_t v = 0; v < plan.windows; ++v) {
    const int64_t visible_rows = (v + 1) * (spec.rows / spec.windows);
    const auto landed =
        shuffle_grid(visible_rows, spec.columns, row_scale, column_scale, key.with_stream(v));
    const auto first = v * plan.sources_per_window;
    std::copy(landed.begin() + first, landed.end(), plan.sources.begin() + first);
  }
}

/// Calls visit(cell, index) for the cells of a rows × columns grid, block by block, in raster order
/// of the blocks and inside each; `index` counts the visits.
template <class F>
void visit_blocks(int64_t rows, int64_t columns, int64_t block_rows, int64_t block_columns,
                  F&& visit) {
  int64_t index = 0;
  for (int64_t top = 0; top < rows; top += block_rows) {
    for (int64_t left = 0; left < columns; left += block_columns) {
      for (int64_t r = top; r < top + block_rows; ++r) {
        for (int64_t c = left; c < left + block_columns; ++c) visit(r * columns + c, index++);
      }
    }
  }
}

/// The original positions of the cells of window `number` of the shifted grid, in raster order.
std::vector<int32_t> window_positions(const PlanSpec& spec, int64_t number) {
  const int64_t across = spec.columns / spec.window_columns;
  const int64_t top = number / across * spec.window_rows + spec.shift_rows;
  const int64_t left = number % across * spec.window_columns + spec.shift_columns;
  std::vector<int32_t> positions;
  positions.reserve(static_cast<size_t>(spec.window_rows * spec.window_columns));
  for (int64_t r = top; r < top + spec.window_rows; ++r) {
    for (int64_t c = left; c < left + spec.window_columns; ++c) {
      positions.push_back(static_cast<int32_t>(r % spec.rows * spec.columns + c % spec.columns));
    }
  }
  return positions;
}

}  // namespace

SourcePlan draw_local_2d(const PlanSpec& spec, const RngKey& key) {
  if (spec.causal) {
    SourcePlan bands = plan_in_order(spec);
    draw_bands(spec, key, bands);
    sort_sources(bands);
    return bands;
  }
  SourcePlan plan = plan_in_order(spec);
  const auto landed =
      shuffle_grid(spec.rows, spec.columns, noise_scale(spec.sigma, spec.rows),
                   noise_scale(spec.sigma_columns, spec.columns), key.with_stream(0));
  visit_blocks(spec.rows, spec.columns, spec.block_rows, spec.block_columns,
               [&](int64_t cell, int64_t index) {
                 plan.targets[static_cast<size_t>(index)] = static_cast<int32_t>(cell);
                 plan.sources[static_cast<size_t>(index)] = landed[static_cast<size_t>(cell)];
               });
  sort_sources(plan);
  return plan;
}

SourcePlan draw_swin_windows(const PlanSpec& spec, const RngKey& key) {
  const int64_t window_size = spec.window_rows * spec.window_columns;
  SourcePlan plan = plan_in_order(spec);
  for (int64_t number = 0; number * window_size < spec.positions; ++number) {
    const auto positions = window_positions(spec, number);
    const auto landed = shuffle_grid(
        spec.window_rows, spec.window_columns, noise_scale(spec.sigma, spec.window_rows),
        noise_scale(spec.sigma_columns, spec.window_columns), key.with_stream(number));
    visit_blocks(spec.window_rows, spec.window_columns, spec.block_rows, spec.block_columns,
                 [&](int64_t cell, int64_t index) {
                   const auto at = static_cast<size_t>(number * window_size + index);
                   plan.targets[at] = positions[static_cast<size_t>(cell)];
                   plan.sources[at] =
                       positions[static_cast<size_t>(landed[static_cast<size_t>(cell)])];
                 });
  }
  sort_sources(plan);
  return plan;
}

SourcePlan draw_unbiased_swin_windows(const PlanSpec& spec, const RngKey& key) {
  SourcePlan plan = plan_in_order(spec);
  auto target = plan.targets.begin();
  auto source = plan.sources.begin();
  for (int64_t number = 0; number < plan.windows; ++number) {
    const auto positions = window_positions(spec, number);
    target = std::copy(positions.begin(), positions.end(), target);
    for (const int32_t cell :
         draw_sample(key.with_stream(number), plan.targets_per_window, plan.sources_per_window)) {
      *source++ = positions[static_cast<size_t>(cell)];
    }
  }
  sort_sources(plan);
  return plan;
}

}  // namespace ssa
