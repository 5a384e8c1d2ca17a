#include "ssa/core/tensor.h"

#include <cstring>

namespace ssa {

std::string_view name(Device device) {
  switch (device) {
    case Device::reference:
      return "reference";
    case Device::cpu:
      return "cpu";
    case Device::cuda:
      return "cuda";
  }
  return "unknown";
}

Storage::Storage(size_t bytes, MemoryCategory category)
    : data_(static_cast<std::byte*>(host_allocator().allocate(bytes, category))),
      bytes_(bytes),
      category_(category) {}

Storage::~Storage() { host_allocator().release(data_, bytes_, category_); }

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device, MemoryCategory category) {
  SSA_CHECK(device != Device::cuda, "this build has no CUDA backend");
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.strides_ = shape.contiguous_strides();
  tensor.dtype_ = dtype;
  tensor.device_ = device;
  tensor.storage_ = std::make_shared<Storage>(tensor.bytes(), category);
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device, MemoryCategory category) {
  Tensor tensor = empty(shape, dtype, device, category);
  std::memset(tensor.raw(), 0, tensor.bytes());  // all-zero bits are 0 in every dtype
  return tensor;
}

Tensor Tensor::empty_like(const Tensor& other, MemoryCategory category) {
  return empty(other.shape(), other.dtype(), other.device(), category);
}

bool Tensor::is_contiguous() const {
  int64_t expected = 1;
  for (int axis = rank() - 1; axis >= 0; --axis) {
    if (dim(axis) != 1 && stride(axis) != expected) return false;
    expected *= dim(axis);
  }
  return true;
}

std::byte* Tensor::raw() {
  if (storage_) storage_->touch();
  return storage_ ? storage_->data() + offset_ * static_cast<int64_t>(size_of(dtype_)) : nullptr;
}

const std::byte* Tensor::raw() const {
  return storage_ ? storage_->data() + offset_ * static_cast<int64_t>(size_of(dtype_)) : nullptr;
}

Tensor Tensor::view(const Shape& shape) const {
  SSA_CHECK(is_contiguous(), "view: {} with gaps cannot be viewed as {}", to_string(shape_),
            to_string(shape));
  SSA_CHECK(shape.numel() == numel(), "view: {} has {} elements, {} would have {}",
            to_string(shape_), numel(), to_string(shape), shape.numel());
  Tensor result = *this;
  result.shape_ = shape;
  result.strides_ = shape.contiguous_strides();
  return result;
}

Tensor Tensor::slice(int axis, int64_t start, int64_t length) const {
  if (axis < 0) axis += rank();
  SSA_CHECK(axis >= 0 && axis < rank() && start >= 0 && length >= 0 && start + length <= dim(axis),
            "slice: {} … {} of axis {} of {}", start, start + length, axis, to_string(shape_));
  Tensor result = *this;
  std::vector<int64_t> dims = shape_.dims();
  dims[static_cast<size_t>(axis)] = length;
  result.shape_ = Shape(std::move(dims));
  result.offset_ += start * stride(axis);
  return result;
}

Tensor Tensor::transpose(int axis0, int axis1) const {
  if (axis0 < 0) axis0 += rank();
  if (axis1 < 0) axis1 += rank();
  SSA_CHECK(axis0 >= 0 && axis0 < rank() && axis1 >= 0 && axis1 < rank(),
            "transpose: axes {} and {} of {}", axis0, axis1, to_string(shape_));
  Tensor result = *this;
  std::vector<int64_t> dims = shape_.dims();
  std::swap(dims[static_cast<size_t>(axis0)], dims[static_cast<size_t>(axis1)]);
  std::swap(result.strides_[static_cast<size_t>(axis0)],
            result.strides_[static_cast<size_t>(axis1)]);
  result.shape_ = Shape(std::move(dims));
  return result;
}

void Tensor::check_dtype(DType wanted) const {
  SSA_CHECK(defined(), "data: the tensor is not defined");
  SSA_CHECK(dtype_ == wanted, "data: the tensor is {}, not {}", name(dtype_), name(wanted));
}

}  // namespace ssa
