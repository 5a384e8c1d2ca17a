#pragma once

#include <string_view>

#include "ssa/backend/backend.h"

#include "backend/cpu/kernels/kernels.h"

namespace ssa::cpu {

/// The counters that RngKey::words would use, written out for the kernels. Throws ShapeError
/// unless 0 ≤ probability < 1.
inline DropoutStream dropout_stream(std::string_view op, const Dropout& dropout) {
  SSA_CHECK(dropout.probability >= 0 && dropout.probability < 1,
            "{}: dropout probability {} is outside [0, 1)", op, dropout.probability);
  const RngKey& key = dropout.key;
  return {.counter = {key.step, (uint32_t{key.layer} << 16) | key.rank,
                      (static_cast<uint32_t>(key.purpose) << 24) | (key.stream & 0xffffffu)},
          .key = {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)},
          .threshold = dropout.threshold(),
          .keep_scale = static_cast<float>(1.0 / (1.0 - dropout.probability))};
}

}  // namespace ssa::cpu
