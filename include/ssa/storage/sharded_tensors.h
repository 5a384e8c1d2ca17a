#pragma once

#include <map>
#include <string>
#include <vector>

#include "ssa/storage/safetensors.h"

namespace ssa {

/// The name in a file of elements begin … end-1 of the tensor `whole`: "WHOLE[begin:end]".
std::string part_name(const std::string& whole, int64_t begin, int64_t end);

/// Tensors in one file, or cut into flat parts at any places and spread over several files.
class ShardedTensors {
 public:
  /// Throws CheckpointError naming tensor and file if parts overlap, leave a gap, or do not match
  /// their names.
  explicit ShardedTensors(std::vector<SafetensorsFile> files);

  /// The names of the whole tensors, sorted.
  std::vector<std::string> names() const;
  /// Fills the contiguous tensor `elements` with elements `begin` and following (flat) of the
  /// tensor `name`, whose shape is `whole`. Throws CheckpointError naming tensor and file if it is
  /// missing or has another dtype or shape (if cut: number of elements).
  void load(const std::string& name, const Shape& whole, int64_t begin, Tensor& elements) const;

 private:
  /// Elements begin … end-1 of a whole tensor: one tensor in a file.
  struct Part {
    int64_t begin = 0, end = 0;
    size_t file = 0;
    const SafetensorsEntry* entry = nullptr;
    bool is_whole = false;
  };

  void add(size_t file, const SafetensorsEntry& entry);
  void check_complete(const std::string& name, const std::vector<Part>& parts) const;
  const std::string& path(const Part& part) const { return files_[part.file].path(); }

  std::vector<SafetensorsFile> files_;
  std::map<std::string, std::vector<Part>> parts_;  // by whole tensor, in order of `begin`
};

}  // namespace ssa
