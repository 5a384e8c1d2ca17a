#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "ssa/core/allocator.h"
#include "ssa/core/device_memory.h"
#include "ssa/core/dtype.h"
#include "ssa/core/shape.h"

namespace ssa {

/// Where a tensor lives and which backend computes on it. `reference` and `cpu` both use host
/// memory; they are two devices so that the slow, readable backend is never mixed in by accident.
/// Tensors on `counting` have sizes but no elements (counting_memory.h).
enum class Device { reference, cpu, cuda, counting };
std::string_view name(Device device);
/// Whether the host can read and write elements of this device's tensors.
constexpr bool is_host(Device device) {
  return device == Device::reference || device == Device::cpu;
}

/// A buffer; shared by all the tensors that view it.
class Storage {
 public:
  Storage(size_t bytes, Device device, MemoryCategory category);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  std::byte* data() { return data_; }
  size_t bytes() const { return bytes_; }
  /// How often a pointer for writing was requested.
  uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void mark_written() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> version_{0};
  CachingAllocator& allocator_;
  std::byte* data_;
  size_t bytes_;
  MemoryCategory category_;
};

/// A strided view of a storage. Copying a Tensor copies the view, not the elements. A
/// default-constructed tensor is empty (`!t.defined()`): "not given". Pointers to elements of a
/// tensor that is not on the host are for kernels: the host reads and writes it through to() and
/// copy_from().
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised, contiguous.
  static Tensor empty(const Shape& shape, DType dtype, Device device,
                      MemoryCategory category = MemoryCategory::activations);
  static Tensor zeros(const Shape& shape, DType dtype, Device device,
                      MemoryCategory category = MemoryCategory::activations);
  /// Same shape, dtype and device; contiguous and uninitialised.
  static Tensor empty_like(const Tensor& other,
                           MemoryCategory category = MemoryCategory::activations);
  /// A tensor with a copy of `values`.
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device,
                     MemoryCategory category = MemoryCategory::activations);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t numel() const { return shape_.numel(); }
  const std::vector<int64_t>& strides() const { return strides_; }
  int64_t stride(int axis) const {
    return strides_[static_cast<size_t>(axis < 0 ? axis + rank() : axis)];
  }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  size_t bytes() const { return static_cast<size_t>(numel()) * size_of(dtype_); }
  bool is_contiguous() const;
  /// True if no other tensor views the same storage.
  bool unique() const { return storage_.use_count() == 1; }

  /// Changes with every request for a pointer for writing to this storage. Derived copies (packed
  /// weights) compare it to know that they are out of date, so request a new pointer before each
  /// write.
  uint64_t version() const { return storage_ ? storage_->version() : 0; }

  /// The same elements, contiguous, on a device: a copy, or, if it is there and contiguous already,
  /// this tensor. Waits for the device's work if it moves elements to the host.
  Tensor to(Device device, MemoryCategory category = MemoryCategory::activations) const;
  /// This tensor, or a contiguous copy on the host if the host cannot read it.
  Tensor on_host() const { return is_host(device_) ? *this : to(Device::cpu); }
  /// Overwrites the elements of this contiguous tensor with those of another of the same shape and
  /// dtype, wherever it is. Throws ShapeError if they differ.
  void copy_from(const Tensor& source);

  /// First element. Throws ShapeError if T is not the tensor's dtype.
  template <class T>
  T* data() {
    check_dtype(DTypeOf<T>::value);
    return reinterpret_cast<T*>(raw());
  }
  template <class T>
  const T* data() const {
    check_dtype(DTypeOf<T>::value);
    return reinterpret_cast<const T*>(raw());
  }
  std::byte* raw();
  const std::byte* raw() const;

  /// The same elements in another shape; the tensor must be contiguous.
  Tensor view(const Shape& shape) const;
  /// The same bytes as (n) elements of another dtype. The tensor must be contiguous, its bytes a
  /// whole number of such elements, and its beginning aligned for them.
  Tensor view_as(DType dtype) const;
  /// Elements start … start+length-1 of an axis.
  Tensor slice(int axis, int64_t start, int64_t length) const;
  Tensor transpose(int axis0, int axis1) const;

 private:
  void check_dtype(DType wanted) const;
  void copy_contiguous(const Tensor& source);
  /// A host copy of all from the first to the last element, gaps included.
  Tensor spanned_on_host() const;
  std::shared_ptr<Storage> storage_;
  Shape shape_;
  std::vector<int64_t> strides_;  // in elements
  int64_t offset_ = 0;            // in elements
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
};

template <class T>
Tensor Tensor::from(const std::vector<T>& values, const Shape& shape, Device device,
                    MemoryCategory category) {
  SSA_CHECK(static_cast<int64_t>(values.size()) == shape.numel(),
            "Tensor::from: {} values for shape {}", values.size(), to_string(shape));
  Tensor tensor = empty(shape, DTypeOf<T>::value, device, category);
  device_memory(device).copy_in(tensor.raw(), values.data(), tensor.bytes());
  return tensor;
}

}  // namespace ssa
