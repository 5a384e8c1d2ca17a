#pragma once

// Argument checks of attention over a source plan, shared by backends.

#include "ssa/backend/backend.h"

#include "backend/checks.h"
#include "backend/dropout_checks.h"
#include "backend/position_grid.h"

namespace ssa {

/// The most positions of an attention on the fast backends. They compute distances in f32, which
/// has all whole numbers up to here.
inline constexpr int64_t kMostPositions = int64_t{1} << 24;

/// Shape of key, value and their gradients.
inline Shape source_shape(const AttentionArgs& args) {
  const Shape& shape = args.query.shape();
  const int64_t rows =
      args.compact_sources ? args.plan.sources_per_window() : args.query_start + shape[1];
  return {shape[0], rows, shape[2], shape[3]};
}

/// Elements from one sequence's regions to those of the next: 0 where all share them.
inline int64_t region_stride(const AttentionArgs& args) {
  return args.regions.dim(0) == 1 ? 0 : args.regions.dim(1);
}

namespace checks {

/// Throws ShapeError unless AttentionArgs::regions, if given, has a region for every position.
inline void require_regions(const AttentionArgs& args) {
  const Tensor& regions = args.regions;
  if (!regions.defined()) return;
  const int64_t batch = args.query.dim(0), positions = args.query_start + args.query.dim(1);
  SSA_CHECK(regions.dtype() == DType::i32, "attention: regions are {}, should be i32",
            name(regions.dtype()));
  SSA_CHECK(regions.rank() == 2 && (regions.dim(0) == 1 || regions.dim(0) == batch) &&
                regions.dim(1) == positions && regions.is_contiguous(),
            "attention: regions have shape {} instead of a contiguous ({} or 1, {})",
            to_string(regions.shape()), batch, positions);
}

/// Throws ShapeError unless the plan fits the queries. Reads no position.
inline void require_plan(const Op& op, const AttentionArgs& args) {
  const PlanTensors& plan = args.plan;
  require_rank(op, {"targets", plan.targets}, 2);
  require_rank(op, {"sources", plan.sources}, 2);
  const int64_t length = args.query.dim(1), windows = plan.windows();
  SSA_CHECK(!args.compact_sources || windows == 1,
            "attention: compact sources want a plan of one window, not of {}", windows);
  SSA_CHECK(windows * plan.targets_per_window() == length,
            "attention: {} windows of {} targets do not make up {} positions", windows,
            plan.targets_per_window(), length);
  SSA_CHECK(plan.sources_per_window() > 0, "attention: windows without sources");
  require_packed(op, {"targets", plan.targets}, DType::i32, plan.targets.shape());
  require_packed(op, {"sources", plan.sources}, DType::i32, {windows, plan.sources_per_window()});
  const int64_t start = args.query_start, end = start + length;
  SSA_CHECK(start >= 0, "attention: queries cannot start at position {}", start);
  SSA_CHECK(start == 0 || !args.dropout.active(),
            "attention: no dropout where queries start at position {}", start);
  SSA_CHECK(end <= kMostPositions, "attention: {} positions, but the {} backend stops at {}", end,
            name(op.device), kMostPositions);
}

/// Throws ShapeError unless shapes and dtypes fit, for backends that compute in low precision.
inline void require_attention(const Op& op, const AttentionArgs& args) {
  require_rank(op, {"query", args.query}, 4);
  require_data_dtype(op, {"query", args.query});
  require_plan(op, args);
  const Shape &shape = args.query.shape(), sources = source_shape(args);
  const DType dtype = args.query.dtype();
  require_head_rows(op, {"query", args.query}, dtype, shape);
  require_head_rows(op, {"key", args.key}, dtype, sources);
  require_head_rows(op, {"value", args.value}, dtype, sources);
  require_head_rows(op, {"out", args.out}, dtype, shape);
  require_packed(op, {"lse", args.lse}, DType::f32, {shape[0], shape[2], shape[1]});
  require_dropout(op.name, args.dropout);
  require_single_elements(op.name, args.dropout);
  if (args.alibi_slopes.defined()) {
    require_packed(op, {"alibi_slopes", args.alibi_slopes}, DType::f32, {shape[2]});
  }
  if (args.relative_table.defined()) {
    require_packed(op, {"relative_table", args.relative_table}, DType::f32,
                   {PositionGrid(args).table_rows(), shape[2]});
  }
  if (args.regions.defined()) {
    require_regions(args);
    require_packed(op, {"regions", args.regions}, DType::i32, args.regions.shape());
  }
}

/// Throws ShapeError unless gradients fit the forward pass, which require_attention() has checked.
inline void require_attention_gradients(const Op& op, const AttentionBackwardArgs& args) {
  const AttentionArgs& forward = args.forward;
  SSA_CHECK(forward.query_start == 0, "attention: no gradient where queries start at {}",
            forward.query_start);
  const Shape &shape = forward.query.shape(), sources = source_shape(forward);
  const DType dtype = forward.query.dtype();
  require_head_rows(op, {"grad_out", args.grad_out}, dtype, shape);
  require_head_rows(op, {"grad_query", args.grad_query}, dtype, shape);
  require_head_rows(op, {"grad_key", args.grad_key}, dtype, sources);
  require_head_rows(op, {"grad_value", args.grad_value}, dtype, sources);
  if (!args.grad_relative_table.defined()) return;
  SSA_CHECK(forward.relative_table.defined(),
            "attention: grad_relative_table without a relative_table");
  require_packed(op, {"grad_relative_table", args.grad_relative_table}, DType::f32,
                 forward.relative_table.shape());
}

}  // namespace checks
}  // namespace ssa
