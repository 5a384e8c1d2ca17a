#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ssa/core/tensor.h"
#include "ssa/storage/file_io.h"

namespace ssa {

// The safetensors format: an 8-byte little-endian header size, a JSON header, then the tensors'
// elements with neither gaps nor overlaps.

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// A tensor that is made when it is written, so that a file may be larger than the memory.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::function<Tensor()> make;
};

using SafetensorsMetadata = std::map<std::string, std::string>;

/// Writes contiguous host tensors of any dtype. The file's bytes do not depend on the order of
/// `tensors`: they are sorted by falling element size, then by name, so that each is aligned. The
/// file appears under its name only when it is complete. Throws CheckpointError for I/O errors and
/// for duplicate or reserved names, ShapeError for tensors that are undefined, not contiguous or
/// not in host memory.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const SafetensorsMetadata& metadata);
/// The same into an open file.
void write_safetensors(OutputFile& file, const std::vector<NamedTensor>& tensors,
                       const SafetensorsMetadata& metadata);

/// The same with tensors that are made one by one. Throws ShapeError if one is not as announced.
void write_safetensors(OutputFile& file, const std::vector<TensorToWrite>& tensors,
                       const SafetensorsMetadata& metadata);

/// A header's entry for one tensor.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  std::string unreadable = {};  ///< a dtype that no Tensor has, such as "I64"; usually empty
  Shape shape;
  uint64_t begin = 0;  ///< offset of its elements from the end of the header
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of their elements
  SafetensorsMetadata metadata;
};

/// Parses and checks a JSON header that `data_bytes` bytes follow in the file. Throws
/// CheckpointError, beginning with `path`, for anything that the format forbids.
SafetensorsHeader parse_safetensors_header(const std::string& text, uint64_t data_bytes,
                                           const std::string& path);

/// An open safetensors file whose header has been checked completely; elements are read on demand.
class SafetensorsFile {
 public:
  /// Throws CheckpointError with the path and the reason if anything is wrong with the file.
  explicit SafetensorsFile(const std::string& path);

  /// In the order of the elements in the file.
  std::vector<std::string> names() const;
  const std::vector<SafetensorsEntry>& entries() const { return header_.entries; }
  const SafetensorsMetadata& metadata() const { return header_.metadata; }
  const std::string& path() const { return file_.path(); }
  bool contains(const std::string& name) const { return index_.count(name) > 0; }

  /// A new tensor with the elements. Throws CheckpointError if there is none of that name.
  Tensor load(const std::string& name, Device device, MemoryCategory category) const;
  /// Fills an existing contiguous host tensor; throws CheckpointError, naming both, where shape or
  /// dtype differ.
  void load_into(const std::string& name, Tensor& tensor) const;
  /// Fills an existing contiguous tensor with elements from number `first` on, counted flat.
  /// Throws CheckpointError, naming both, where the dtype differs or there are not as many.
  void load_elements(const std::string& name, int64_t first, Tensor& elements) const;

 private:
  const SafetensorsEntry& entry(const std::string& name) const;
  void read_into(Tensor& tensor, uint64_t offset) const;

  InputFile file_;
  uint64_t data_offset_ = 0;
  SafetensorsHeader header_;
  std::map<std::string, size_t> index_;  // name -> header_.entries
};

}  // namespace ssa
