#pragma once

#include <cstdint>
#include <vector>

#include "ssa/sampling/source_plan.h"

namespace ssa::testing {

using Rows = std::vector<std::vector<int32_t>>;

inline Rows split(const std::vector<int32_t>& flat, int64_t width) {
  Rows rows;
  for (auto first = flat.begin(); first != flat.end(); first += width) {
    rows.emplace_back(first, first + width);
  }
  return rows;
}

inline Rows sources_of(const SourcePlan& plan) {
  return split(plan.sources, plan.sources_per_window);
}
inline Rows targets_of(const SourcePlan& plan) {
  return split(plan.targets, plan.targets_per_window);
}

inline PlanSpec unbiased(int64_t positions, double drop) {
  PlanSpec spec;
  spec.kind = PlanKind::unbiased;
  spec.positions = positions;
  spec.drop = drop;
  return spec;
}

inline PlanSpec local_1d(int64_t positions, int64_t windows, double sigma, bool causal) {
  PlanSpec spec;
  spec.kind = PlanKind::local_1d;
  spec.positions = positions;
  spec.windows = windows;
  spec.sigma = sigma;
  spec.causal = causal;
  return spec;
}

/// Blocks of block_rows × block_columns, not causal.
inline PlanSpec blocks_2d(int64_t rows, int64_t columns, int64_t block_rows, int64_t block_columns,
                          double sigma, double sigma_columns) {
  PlanSpec spec;
  spec.kind = PlanKind::local_2d;
  spec.positions = rows * columns;
  spec.rows = rows;
  spec.columns = columns;
  spec.block_rows = block_rows;
  spec.block_columns = block_columns;
  spec.sigma = sigma;
  spec.sigma_columns = sigma_columns;
  return spec;
}

/// Causal bands of rows.
inline PlanSpec bands_2d(int64_t rows, int64_t columns, int64_t bands, double sigma,
                         double sigma_columns) {
  PlanSpec spec = blocks_2d(rows, columns, 0, 0, sigma, sigma_columns);
  spec.windows = bands;
  spec.causal = true;
  return spec;
}

/// side × side image, window × window windows, block × block sub-windows.
inline PlanSpec swin(int64_t side, int64_t window, int64_t block, int64_t shift, double sigma) {
  PlanSpec spec = blocks_2d(side, side, block, block, sigma, sigma);
  spec.kind = PlanKind::swin_windows;
  spec.window_rows = spec.window_columns = window;
  spec.shift_rows = spec.shift_columns = shift;
  return spec;
}

/// The same windows, each with its own uniform sample of its cells.
inline PlanSpec unbiased_swin(int64_t side, int64_t window, int64_t shift, double drop) {
  PlanSpec spec = swin(side, window, 0, shift, 0.0);
  spec.kind = PlanKind::unbiased_swin_windows;
  spec.drop = drop;
  return spec;
}

/// Draw number `step` of the fixed-seed test series.
inline RngKey draw_key(int64_t step) {
  return {.seed = 2306, .purpose = RngPurpose::plan, .step = static_cast<uint32_t>(step)};
}

}  // namespace ssa::testing
