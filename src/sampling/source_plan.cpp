#include "ssa/sampling/source_plan.h"

#include <numeric>

#include "ssa/core/error.h"

#include "sampling/plan_kinds.h"

namespace ssa {

namespace {

/// W·T·S / N², without overflow.
double fraction(const PlanShape& shape, int64_t positions) {
  if (positions == 0) return 0.0;
  const auto n = static_cast<double>(positions);
  return static_cast<double>(shape.windows) * (static_cast<double>(shape.targets_per_window) / n) *
         (static_cast<double>(shape.sources_per_window) / n);
}

}  // namespace

double SourcePlan::sampled_fraction() const {
  return fraction({windows, targets_per_window, sources_per_window}, positions);
}

double sampled_fraction(const PlanSpec& spec) { return fraction(plan_shape(spec), spec.positions); }

bool has_swin_windows(const PlanSpec& spec) {
  return spec.kind == PlanKind::swin_windows || spec.kind == PlanKind::unbiased_swin_windows;
}

bool samples_sources(const PlanSpec& spec) {
  const bool whole_windows = spec.kind == PlanKind::swin_windows &&
                             spec.block_rows == spec.window_rows &&
                             spec.block_columns == spec.window_columns;
  return spec.kind != PlanKind::dense && !whole_windows;
}

PlanShape plan_shape(const PlanSpec& spec) {
  const auto equal_windows = [&](int64_t count) {
    return PlanShape{count, spec.positions / count, spec.positions / count};
  };
  const int64_t block_size = spec.block_rows * spec.block_columns;
  switch (spec.kind) {
    case PlanKind::dense:
      return equal_windows(1);
    case PlanKind::unbiased:
      return {1, spec.positions, kept_sources(spec.drop, spec.positions)};
    case PlanKind::local_1d:
      return equal_windows(spec.windows);
    case PlanKind::local_2d:
      return equal_windows(spec.causal ? spec.windows : spec.positions / block_size);
    case PlanKind::swin_windows:
      return equal_windows(spec.positions / block_size);
    case PlanKind::unbiased_swin_windows: {
      const int64_t cells = spec.window_rows * spec.window_columns;
      return {spec.positions / cells, cells, kept_sources(spec.drop, cells)};
    }
  }
  throw ConfigError("source plan: there is no kind number {}", static_cast<int>(spec.kind));
}

SourcePlan plan_in_order(const PlanSpec& spec) {
  const PlanShape shape = plan_shape(spec);
  SourcePlan plan;
  plan.positions = spec.positions;
  plan.windows = shape.windows;
  plan.targets_per_window = shape.targets_per_window;
  plan.sources_per_window = shape.sources_per_window;
  plan.targets.resize(static_cast<size_t>(spec.positions));
  std::iota(plan.targets.begin(), plan.targets.end(), 0);
  plan.sources.resize(static_cast<size_t>(shape.windows * shape.sources_per_window));
  return plan;
}

SourcePlan draw_plan(const PlanSpec& spec, const RngKey& key) {
  validate(spec);
  switch (spec.kind) {
    case PlanKind::dense:
      return draw_dense(spec);
    case PlanKind::unbiased:
      return draw_unbiased(spec, key);
    case PlanKind::local_1d:
      return draw_local_1d(spec, key);
    case PlanKind::local_2d:
      return draw_local_2d(spec, key);
    case PlanKind::swin_windows:
      return draw_swin_windows(spec, key);
    case PlanKind::unbiased_swin_windows:
      return draw_unbiased_swin_windows(spec, key);
  }
  throw ConfigError("source plan: there is no kind number {}", static_cast<int>(spec.kind));
}

}  // namespace ssa
