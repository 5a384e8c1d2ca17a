#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/core/dtype.h"
#include "ssa/core/shape.h"

namespace ssa {

/// One named input of a batch, in host memory: pixels, token ids, targets. Row-major.
class BatchField {
 public:
  BatchField(std::string name, DType dtype, const Shape& shape);

  const std::string& name() const { return name_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  std::vector<std::byte>& bytes() { return bytes_; }
  /// The elements. Throws ShapeError if T is not the field's dtype.
  template <class T>
  std::span<T> values() {
    require(DTypeOf<T>::value);
    return {reinterpret_cast<T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }
  template <class T>
  std::span<const T> values() const {
    require(DTypeOf<T>::value);
    return {reinterpret_cast<const T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }
  bool operator==(const BatchField&) const = default;

 private:
  void require(DType dtype) const;

  std::string name_;
  DType dtype_;
  Shape shape_;
  std::vector<std::byte> bytes_;
};

/// The examples of a step or of an evaluation, as bytes and shapes, without tensors. Fields whose
/// first axis is the number of examples can be cut into micro-batches.
class Batch {
 public:
  Batch() = default;
  explicit Batch(int64_t examples) : examples_(examples) {}

  int64_t examples() const { return examples_; }
  const std::vector<BatchField>& fields() const { return fields_; }
  /// Throws ShapeError, naming the existing fields, if there is none of this name.
  const BatchField& field(std::string_view name) const;
  BatchField& field(std::string_view name);
  /// Adds a field of zeros. Throws ShapeError if the batch has one of this name.
  BatchField& add(std::string name, DType dtype, const Shape& shape);
  /// Adds a field with these values.
  template <class T>
  BatchField& add(std::string name, const Shape& shape, std::span<const T> values) {
    BatchField& field = add(std::move(name), DTypeOf<T>::value, shape);
    const std::span<T> to = field.template values<T>();
    SSA_CHECK(to.size() == values.size(), "batch: {} values for field {} of shape {}",
              values.size(), field.name(), to_string(shape));
    std::memcpy(to.data(), values.data(), values.size_bytes());
    return field;
  }
  bool operator==(const Batch&) const = default;

 private:
  int64_t examples_ = 0;
  std::vector<BatchField> fields_;
};

}  // namespace ssa
