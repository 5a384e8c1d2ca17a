#pragma once

// Argument checks of the primitives of image models, shared by backends.

#include "ssa/backend/backend.h"

#include "backend/checks.h"

namespace ssa::checks {

/// Throws ShapeError unless these are valid arguments of patches().
inline void require_patches(const Op& op, const PatchArgs& args) {
  require_rank(op, {"in", args.in}, 4);
  require_rank(op, {"out", args.out}, 2);
  require_data_dtype(op, {"out", args.out});
  const Shape& shape = args.in.shape();
  const int64_t channels = shape[3], side = args.side;
  SSA_CHECK(side > 0 && shape[1] % side == 0 && shape[2] % side == 0,
            "{}: pictures of {}×{} do not divide into patches of {}×{}", op.name, shape[1],
            shape[2], side, side);
  require_packed(op, {"in", args.in}, args.in.dtype() == DType::u8 ? DType::u8 : DType::f32, shape);
  SSA_CHECK(static_cast<int64_t>(args.mean.size()) == channels &&
                static_cast<int64_t>(args.deviation.size()) == channels,
            "{}: {} means and {} deviations for {} channels", op.name, args.mean.size(),
            args.deviation.size(), channels);
  for (const double deviation : args.deviation) {
    SSA_CHECK(deviation > 0, "{}: a channel's deviation is {}, not above 0", op.name, deviation);
  }
  require_packed(op, {"out", args.out}, args.out.dtype(),
                 {shape[0] * (shape[1] / side) * (shape[2] / side), channels * side * side});
}

/// `all` (B, N, C) and `means` (B, C).
inline void require_means(const Op& op, const Named& all, const Named& means) {
  require_rank(op, all, 3);
  require_data(op, {all});
  const Shape& shape = all.tensor.shape();
  require_packed(op, means, all.tensor.dtype(), {shape[0], shape[2]});
  SSA_CHECK(shape[1] > 0, "{}: {} has no positions", op.name, all.name);
}

}  // namespace ssa::checks
