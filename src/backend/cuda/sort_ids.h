#pragma once

#include <cstdint>

#include "ssa/core/tensor.h"

#include "backend/cuda/error_record.h"

namespace ssa::cuda {

/// Ids in ascending order, and the row that each came from. Equal ids keep their order.
struct SortedIds {
  Tensor ids;   ///< (R) i32
  Tensor rows;  ///< (R) i32
};

/// Sorts ids (R) i32, each in 0 … end-1, on the device. Ids outside that range count as 0, and are
/// recorded as an error of `primitive`.
SortedIds sort_ids(const Tensor& ids, int64_t end, Lookup primitive);

}  // namespace ssa::cuda
