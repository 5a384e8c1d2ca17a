#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

Variable patches(PatchArgs args, DType data) {
  check_rank("patches", "in", args.in, 4);
  const Shape& shape = args.in.shape();
  SSA_CHECK(args.in.dtype() == DType::u8 || args.in.dtype() == wide(data),
            "patches: in is {}; for {} it is u8 or {}", name(args.in.dtype()), name(data),
            name(wide(data)));
  SSA_CHECK(args.side > 0 && shape[1] % args.side == 0 && shape[2] % args.side == 0,
            "patches: pictures {} do not divide into patches of {}×{}", to_string(shape), args.side,
            args.side);
  const auto channels = static_cast<size_t>(shape[3]);
  SSA_CHECK(args.mean.size() == channels && args.deviation.size() == channels,
            "patches: {} means and {} deviations for {} channels", args.mean.size(),
            args.deviation.size(), channels);
  const int64_t count = shape[0] * (shape[1] / args.side) * (shape[2] / args.side);
  args.out = Tensor::empty({count, shape[3] * args.side * args.side}, data, args.in.device());
  backend(args.in.device()).patches(args);
  return Variable(args.out);
}

}  // namespace ssa::ops
