#pragma once

#include <map>
#include <string>
#include <vector>

#include "ssa/storage/safetensors.h"

namespace ssa {

/// What the flat tensor with elements begin … end-1 of the tensor `whole` is called in a file:
/// "WHOLE[begin:end]".
std::string part_name(const std::string& whole, int64_t begin, int64_t end);

/// Tensors that lie in one file, or are cut into flat parts that lie in several, wherever the cuts
/// are.
class ShardedTensors {
 public:
  /// Throws CheckpointError naming tensor and file where parts overlap, leave a hole, or are not
  /// what they are called.
  explicit ShardedTensors(std::vector<SafetensorsFile> files);

  /// Of the whole tensors, sorted.
  std::vector<std::string> names() const;
  /// Fills `elements`, which is contiguous, with those from number `begin` on, counted flat, of the
  /// tensor `name` of the shape `whole`. Throws CheckpointError naming tensor and file if it is not
  /// there or of another shape (if cut: number of elements) or dtype.
  void load(const std::string& name, const Shape& whole, int64_t begin, Tensor& elements) const;

 private:
  /// Elements begin … end-1 of a whole tensor, as a tensor of a file.
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
