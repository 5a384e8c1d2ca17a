#pragma once

#include "ssa/backend/backend.h"

namespace ssa::cpu {

/// A PackedMatrix of Backend::pack_int8().
struct Int8Weights : PackedMatrix {
  int64_t padded;  ///< K, rounded up to kInt8Padding
  Tensor values;   ///< (N, padded) bytes of int8, zeros behind K
  Tensor scales;   ///< (N) f32

  /// Takes (n_i, K) f32 parts, stacked over their rows.
  Int8Weights(const std::vector<Tensor>& parts, DType data);
  /// args.packed_b is this matrix.
  void multiply(const MatmulArgs& args) const;
};

}  // namespace ssa::cpu
