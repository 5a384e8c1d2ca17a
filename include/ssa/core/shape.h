#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace ssa {

/// The extents of a tensor, outermost first.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  /// Extent of an axis; negative axes count from the end.
  int64_t operator[](int axis) const {
    return dims_[static_cast<size_t>(axis < 0 ? axis + rank() : axis)];
  }
  /// Number of elements; 1 for a scalar.
  int64_t numel() const;
  const std::vector<int64_t>& dims() const { return dims_; }
  /// Strides of a contiguous row-major tensor of this shape, in elements.
  std::vector<int64_t> contiguous_strides() const;
  bool operator==(const Shape& other) const = default;

 private:
  std::vector<int64_t> dims_;
};

/// "(2, 3, 4)"
std::string to_string(const Shape& shape);

}  // namespace ssa
