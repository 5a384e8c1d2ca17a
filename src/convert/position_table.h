#pragma once

#include <cstdint>
#include <string>

#include "ssa/core/tensor.h"

namespace ssa {

/// Resizes a table of position biases, ((2w-1)², heads) f32, to the window of a table with `rows`
/// rows, as Microsoft's Swin code does: each head's square by torch's bicubic interpolation (a =
/// -0.75, align_corners False, no antialiasing). `name` is for messages. Throws CheckpointError if
/// either number of rows is no odd square.
Tensor resized_table(const Tensor& table, int64_t rows, const std::string& name);

}  // namespace ssa
