#include "ssa/core/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ssa {

int64_t Shape::numel() const {
  int64_t count = 1;
  for (const int64_t extent : dims_) count *= extent;
  return count;
}

std::vector<int64_t> Shape::contiguous_strides() const {
  std::vector<int64_t> strides(dims_.size());
  int64_t stride = 1;
  for (size_t axis = dims_.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= dims_[axis];
  }
  return strides;
}

std::string to_string(const Shape& shape) {
  return fmt::format("({})", fmt::join(shape.dims(), ", "));
}

}  // namespace ssa
