#pragma once

#include <string_view>

#include "backend/cpu/kernels/kernels.h"
#include "backend/dropout_checks.h"

namespace ssa::cpu {

/// The counter and key of RngKey::words as plain numbers for the kernels, which draw one word per
/// element. Throws ShapeError unless 0 ≤ probability < 1 and the group is 1.
inline DropoutStream dropout_stream(std::string_view op, const Dropout& dropout) {
  checks::require_dropout(op, dropout);
  checks::require_single_elements(op, dropout);
  const RngKey& key = dropout.key;
  return {.counter = {key.step, (uint32_t{key.layer} << 16) | key.rank,
                      (static_cast<uint32_t>(key.purpose) << 24) | (key.stream & 0xffffffu)},
          .key = {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)},
          .threshold = dropout.threshold(),
          .keep_scale = static_cast<float>(1.0 / (1.0 - dropout.probability))};
}

}  // namespace ssa::cpu
