#pragma once

#include "ssa/sampling/source_plan.h"

namespace ssa {

// One function per kind of plan. Each takes a spec that validate() has accepted.

SourcePlan draw_dense(const PlanSpec& spec);
SourcePlan draw_unbiased(const PlanSpec& spec, const RngKey& key);
SourcePlan draw_local_1d(const PlanSpec& spec, const RngKey& key);
SourcePlan draw_local_2d(const PlanSpec& spec, const RngKey& key);
SourcePlan draw_swin_windows(const PlanSpec& spec, const RngKey& key);
SourcePlan draw_unbiased_swin_windows(const PlanSpec& spec, const RngKey& key);

/// How many of `candidates` sources an unbiased plan keeps: round((1 - drop)·candidates), halves
/// away from zero.
int64_t kept_sources(double drop, int64_t candidates);

/// A plan of the spec's shape, with every position in order as targets, and zeros as sources.
SourcePlan plan_in_order(const PlanSpec& spec);

}  // namespace ssa
