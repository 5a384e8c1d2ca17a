#include "ssa/sampling/source_plan.h"

#include <numeric>

#include "ssa/core/error.h"

#include "sampling/plan_kinds.h"

namespace ssa {

double SourcePlan::sampled_fraction() const {
  if (positions == 0) return 0.0;
  const auto n = static_cast<double>(positions);
  return static_cast<double>(windows) * (static_cast<double>(targets_per_window) / n) *
         (static_cast<double>(sources_per_window) / n);
}

SourcePlan plan_in_order(int64_t positions, int64_t windows, int64_t sources_per_window) {
  SourcePlan plan;
  plan.positions = positions;
  plan.windows = windows;
  plan.targets_per_window = positions / windows;
  plan.sources_per_window = sources_per_window;
  plan.targets.resize(static_cast<size_t>(positions));
  std::iota(plan.targets.begin(), plan.targets.end(), 0);
  plan.sources.resize(static_cast<size_t>(windows * sources_per_window));
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
  }
  throw ConfigError("source plan: there is no kind number {}", static_cast<int>(spec.kind));
}

}  // namespace ssa
