#include "ssa/core/tensor.h"

#include <cstring>

#include "ssa/core/device_memory.h"

namespace ssa {

namespace {

/// Copies elements of `size` bytes in raster order, from `from` with the strides of `layout` to
/// `to`, without gaps. Returns the end of what it wrote.
std::byte* pack(const std::byte* from, const Tensor& layout, int axis, size_t size, std::byte* to) {
  if (axis == layout.rank()) {
    std::memcpy(to, from, size);
    return to + size;
  }
  const int64_t step = layout.stride(axis) * static_cast<int64_t>(size);
  for (int64_t i = 0; i < layout.dim(axis); ++i) {
    to = pack(from + i * step, layout, axis + 1, size, to);
  }
  return to;
}

}  // namespace

std::string_view name(Device device) {
  switch (device) {
    case Device::reference:
      return "reference";
    case Device::cpu:
      return "cpu";
    case Device::cuda:
      return "cuda";
    case Device::counting:
      return "counting";
  }
  return "unknown";
}

Storage::Storage(size_t bytes, Device device, MemoryCategory category)
    : allocator_(allocator(device)),
      data_(static_cast<std::byte*>(allocator_.allocate(bytes, category))),
      bytes_(bytes),
      category_(category) {}

Storage::~Storage() { allocator_.release(data_, bytes_, category_); }

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device, MemoryCategory category) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.strides_ = shape.contiguous_strides();
  tensor.dtype_ = dtype;
  tensor.device_ = device;
  tensor.storage_ = std::make_shared<Storage>(tensor.bytes(), device, category);
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device, MemoryCategory category) {
  Tensor tensor = empty(shape, dtype, device, category);
  device_memory(device).zero(tensor.raw(), tensor.bytes());  // all-zero bits are 0 in every dtype
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
  if (storage_) storage_->mark_written();
  return storage_ ? storage_->data() + offset_ * static_cast<int64_t>(size_of(dtype_)) : nullptr;
}

const std::byte* Tensor::raw() const {
  return storage_ ? storage_->data() + offset_ * static_cast<int64_t>(size_of(dtype_)) : nullptr;
}

void Tensor::copy_contiguous(const Tensor& source) {
  DeviceMemory& here = device_memory(device_);
  if (is_host(source.device())) {
    here.copy_in(raw(), source.raw(), bytes());
  } else if (is_host(device_)) {
    device_memory(source.device()).copy_out(raw(), source.raw(), bytes());
  } else {
    here.copy_within(raw(), source.raw(), bytes());
  }
}

void Tensor::copy_from(const Tensor& source) {
  SSA_CHECK(defined() && source.defined(), "copy_from: a tensor is not defined");
  SSA_CHECK(is_contiguous(), "copy_from: {} with gaps cannot be written", to_string(shape_));
  SSA_CHECK(source.shape() == shape_ && source.dtype() == dtype_, "copy_from: {} {} into {} {}",
            name(source.dtype()), to_string(source.shape()), name(dtype_), to_string(shape_));
  copy_contiguous(source.to(source.device()));
}

Tensor Tensor::spanned_on_host() const {
  int64_t elements = numel() > 0 ? 1 : 0;
  for (int axis = 0; axis < rank(); ++axis) {
    if (numel() > 0) elements += (dim(axis) - 1) * stride(axis);
  }
  Tensor result = *this;
  result.device_ = Device::cpu;
  result.offset_ = 0;
  const size_t span = static_cast<size_t>(elements) * size_of(dtype_);
  result.storage_ = std::make_shared<Storage>(span, Device::cpu, MemoryCategory::workspace);
  device_memory(device_).copy_out(result.raw(), raw(), span);
  return result;
}

Tensor Tensor::to(Device device, MemoryCategory category) const {
  SSA_CHECK(defined(), "to: the tensor is not defined");
  if (is_contiguous()) {
    if (device == device_) return *this;
    Tensor copy = empty(shape_, dtype_, device, category);
    copy.copy_contiguous(*this);
    return copy;
  }
  if (!is_host(device_)) return spanned_on_host().to(device, category);
  // Only the host can pack elements with gaps.
  Tensor packed = empty(shape_, dtype_, is_host(device) ? device : Device::cpu, category);
  pack(raw(), *this, 0, size_of(dtype_), packed.raw());
  return packed.to(device, category);
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

Tensor Tensor::view_as(DType dtype) const {
  const auto from = static_cast<int64_t>(size_of(dtype_)),
             to = static_cast<int64_t>(size_of(dtype));
  SSA_CHECK(is_contiguous(), "view_as: {} with gaps cannot be viewed as {}", to_string(shape_),
            name(dtype));
  SSA_CHECK(numel() * from % to == 0 && offset_ * from % to == 0,
            "view_as: {} {} from element {} on are no whole number of {}", numel(), name(dtype_),
            offset_, name(dtype));
  Tensor result = *this;
  result.shape_ = {numel() * from / to};
  result.strides_ = {1};
  result.offset_ = offset_ * from / to;
  result.dtype_ = dtype;
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
