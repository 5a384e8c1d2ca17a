#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/data/prepare.h"

namespace ssa {

/// A folder or a tar archive that holds pictures.
struct ImageContainer {
  std::string path;
  bool is_archive = false;
  int64_t modified = 0;  ///< time of the archive's last change in ns
};

/// One picture among the inputs.
struct ImageSource {
  std::string path;      ///< in its container
  uint32_t file_at = 0;  ///< where the file's name in its class begins in `path`
  uint32_t label = 0;
  Split split = Split::train;
  uint32_t container = 0;
  int64_t offset = 0;    ///< in the archive
  int64_t size = 0;      ///< bytes
  int64_t modified = 0;  ///< time of the file's last change in ns, or that of its archive

  std::string_view file() const { return std::string_view(path).substr(file_at); }
};

/// All pictures of the inputs.
struct ImageSources {
  std::vector<ImageContainer> containers;
  std::vector<ImageSource> images;   ///< by split, label and name: one order for all runs
  std::vector<std::string> classes;  ///< a label is the number of one
  int64_t ignored = 0;               ///< files that are no pictures by their names

  /// Where a picture lies, for messages.
  std::string display(const ImageSource& image) const;
  /// The bytes of a picture's file. Throws DataError if it cannot be read or has changed. Thread
  /// safe.
  std::vector<uint8_t> read(const ImageSource& image) const;
};

/// Finds the pictures of the inputs (docs/how-to/train-on-imagenet.md says which forms they have)
/// and numbers their classes. Throws ConfigError or DataError, with what to do, if a split or a
/// class is not known, a class of val is not in train, or a class of train has no picture.
ImageSources list_image_sources(const PrepareOptions& options);

}  // namespace ssa
