#pragma once

// Argument checks of dropout, shared by backends.

#include <string_view>

#include "ssa/backend/backend.h"

namespace ssa::checks {

/// Throws ShapeError unless the probability and the group are valid.
inline void require_dropout(std::string_view op, const Dropout& dropout) {
  SSA_CHECK(dropout.probability >= 0 && dropout.probability < 1,
            "{}: dropout probability {} is outside [0, 1)", op, dropout.probability);
  SSA_CHECK(dropout.group >= 1, "{}: dropout in groups of {} elements", op, dropout.group);
}

/// Throws ShapeError unless each element is dropped on its own (group 1).
inline void require_single_elements(std::string_view op, const Dropout& dropout) {
  SSA_CHECK(dropout.group == 1,
            "{}: softmax weights are dropped one by one, not in groups of {} (for drop path, call "
            "dropout on the result)",
            op, dropout.group);
}

}  // namespace ssa::checks
