#pragma once

#include <cstdint>

namespace ssa::cuda {

/// to[k] (columns) = Σ over parts of partial[part][k] (parts, arrays, columns), k < arrays; or, if
/// `add`, += . All in device memory; the order of the additions is one of the shape alone. One or
/// two arrays.
void add_partial_sums(const float* partial, int64_t parts, int arrays, int64_t columns, bool add,
                      float* const* to);

}  // namespace ssa::cuda
