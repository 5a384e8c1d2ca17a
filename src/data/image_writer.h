#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ssa/data/image_dataset.h"

#include "byte_tally.h"
#include "folder_writer.h"

namespace ssa {

/// Writes images and labels of a data set, in the order of its splits.
class ImageWriter {
 public:
  explicit ImageWriter(FolderWriter& writer) : writer_(writer) { writer_.start_file(kPixelFile); }

  /// The next image: (height, width, channel).
  void add(std::span<const uint8_t> pixels, int32_t label) {
    writer_.write(pixels);
    tally_.add(pixels);
    labels_.push_back(label);
  }
  int64_t images() const { return static_cast<int64_t>(labels_.size()); }
  const std::vector<int32_t>& labels() const { return labels_; }
  int64_t bytes() const { return tally_.bytes(); }
  /// Writes the labels. Returns the checksum of both files.
  std::string finish() {
    const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(labels_.data()),
                                         labels_.size() * sizeof(int32_t));
    writer_.start_file(kLabelFile);
    writer_.write(bytes);
    tally_.add(bytes);
    return tally_.checksum();
  }

 private:
  FolderWriter& writer_;
  ByteTally tally_;
  std::vector<int32_t> labels_;
};

}  // namespace ssa
