#pragma once

#include "ssa/backend/backend.h"

namespace ssa {

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

/// Elements from one sequence's regions to those of the next: 0 where all share them.
inline int64_t region_stride(const AttentionArgs& args) {
  return args.regions.dim(0) == 1 ? 0 : args.regions.dim(1);
}

}  // namespace ssa
