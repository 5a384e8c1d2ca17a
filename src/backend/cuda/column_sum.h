#pragma once

#include <cstdint>

namespace ssa::cuda {

/// to[k] (columns) = Σ over parts of partial[part][k] (parts, arrays, columns), for k < arrays, one
/// or two; += if `add`. All in device memory. The order of additions depends on the shape alone.
void add_partial_sums(const float* partial, int64_t parts, int arrays, int64_t columns, bool add,
                      float* const* to);

}  // namespace ssa::cuda
