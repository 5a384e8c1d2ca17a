#pragma once

#include <functional>

#include "ssa/models/model.h"

namespace ssa {

/// Log-probabilities of all classes for rows of the last hidden state: (R, width) → (R, V).
using LogProbabilities = std::function<Tensor(const Tensor& rows)>;

/// The `most` likeliest classes of each row of x (R, width) whose target (R) i32 is not -1; without
/// targets of each row. Reads a few rows at a time: with a large vocabulary, the probabilities of
/// all rows would not fit into memory.
LikelyClasses likely_classes(const Tensor& x, const Tensor& targets, int64_t most,
                             const LogProbabilities& log_probabilities);

}  // namespace ssa
