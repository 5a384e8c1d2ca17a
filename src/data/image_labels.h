#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ssa {

/// The classes of pictures that lie in one folder, such as ImageNet's validation set, by their
/// files' names.
class ImageLabels {
 public:
  /// Reads lines "FILE CLASS" or "FILE,CLASS …" (LOC_val_solution.csv), with or without the ending
  /// of FILE, or "mv FILE CLASS/" (valprep.sh). Throws DataError, with the line, for anything else,
  /// and for classes that are numbers: there is more than one numbering of ImageNet's classes.
  static ImageLabels read(const std::string& path);

  /// Null if the file has no class.
  const std::string* find(std::string_view file) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::unordered_map<std::string, std::string> classes_;  // by name without ending
};

/// The classes of a list, in its order: the first word of each line, as in synsets.txt,
/// LOC_synset_mapping.txt and a prepared folder's classes.txt. Throws DataError if there is none,
/// or one occurs twice.
std::vector<std::string> read_class_list(const std::string& path);

}  // namespace ssa
