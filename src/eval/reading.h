#pragma once

#include <vector>

#include "ssa/models/decoder_cache.h"

namespace ssa {

// What continuing texts and drawing pictures have in common.

/// The most rows of a pass over a prompt or a given part of pictures. It limits the memory, and is
/// far more than matrix products need to be fast.
inline constexpr int64_t kRowsAtATime = 4096;

/// The plans of sub-models 0 … samples-1, drawn as in evaluation. Sub-models share the plans of
/// dense layers.
ReadingPlans reading_plans(const std::vector<PlanSpec>& specs, RngKey key, int64_t samples,
                           Device device);

/// A tensor's numbers. Throws DivergedError if one is NaN or +∞: `of` names the prediction.
std::vector<double> finite_scores(const Tensor& on_device, const std::string& of);

/// The logarithm of the mean of the rows' softmax: rows `first`, first + step, … of scores
/// (R, vocabulary).
std::vector<double> mean_prediction(const std::vector<double>& scores, int64_t vocabulary,
                                    int64_t first = 0, int64_t step = 1);

/// How many texts or pictures, whose keys and values take `each` bytes, are continued side by side
/// where `free` bytes are free: they take at most half of it, but for a single one. Throws
/// OutOfMemoryError if not even one fits; `what` names it, `samples` is how many sub-models read
/// it.
int64_t side_by_side(int64_t each, int64_t free, int64_t count, const char* what, int64_t samples);

/// Bytes that tensors can still take on a device.
int64_t free_on(Device device);

}  // namespace ssa
