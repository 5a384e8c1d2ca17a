#pragma once

#include "backend/low_precision_cases.h"

namespace ssa::testing {

/// Weights (n_i, inner) of maps whose results stand side by side.
inline std::vector<Tensor> weights(const std::vector<int64_t>& rows, int64_t inner, uint32_t seed) {
  std::vector<Tensor> parts;
  for (const int64_t n : rows) parts.push_back(random_tensor({n, inner}, seed++));
  return parts;
}

/// a · packed, (3, columns).
inline Tensor product_with(const std::shared_ptr<PackedMatrix>& packed) {
  MatmulArgs args;
  args.a = converted(random_tensor({3, packed->rows()}, 5), packed->dtype());
  args.packed_b = packed;
  args.out = Tensor::empty({3, packed->columns()}, packed->dtype(), device_under_test());
  tested().matmul(args);
  return args.out;
}

}  // namespace ssa::testing
