#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ssa/data/dataset_info.h"
#include "ssa/data/mapped_file.h"

namespace ssa {

/// What dataset.json of a prepared folder of pictures says. All have one size and three channels,
/// red, green and blue.
struct ImageDatasetInfo {
  std::string name;  ///< as given to `ssa-data prepare`
  std::vector<std::string> sources;
  int64_t height = 0, width = 0;     ///< pixels
  std::vector<std::string> classes;  ///< a label is the number of one of these
  std::array<TokenRange, 3> splits;  ///< of images, in the order of Split; may be empty
  int64_t skipped = 0;               ///< files that were no picture and were left out
  std::string checksum;              ///< XXH3-64 of the pixels, then the labels, as stored
  bool official = false;             ///< the counts and labels of the published data set

  static constexpr int64_t kChannels = 3;
  int64_t images() const { return splits.back().end; }
  int64_t split_size(Split split) const { return splits[static_cast<size_t>(split)].size(); }
  /// Bytes of one image.
  int64_t image_bytes() const { return height * width * kChannels; }
  /// "official CIFAR-10 split" or "custom split", for reports and logs.
  std::string split_description() const;
};

inline constexpr const char* kPixelFile = "pixels.bin";  // images (height, width, channel), u8
inline constexpr const char* kLabelFile = "labels.bin";  // int32, little endian

std::string dataset_to_json(const ImageDatasetInfo& info);
/// Reads the text of a dataset.json; `path` stands for it in messages. Throws DataError that names
/// the key if it is malformed or contradicts itself.
ImageDatasetInfo image_dataset_from_json(std::string_view json, const std::string& path);
/// Whether a prepared folder holds pictures. False for a plain file. Throws DataError if nothing is
/// there.
bool holds_images(const std::string& path);

/// Small pictures of one size with their labels, in three splits. Copies share the mapping.
class ImageDataset {
 public:
  /// Opens a prepared folder, looked for as TokenDataset::open() does. Throws DataError if it is
  /// not there, holds something else, or has files of another size than dataset.json promises.
  static ImageDataset open(const std::string& path);

  const ImageDatasetInfo& info() const { return info_; }
  /// The file that holds the pixels.
  const std::string& path() const { return pixels_->path(); }
  /// Pixels of an image of the whole data set, (height, width, channel). Throws DataError if the
  /// file has shrunk since it was opened; ShapeError for a number that is not there or a span that
  /// is no image's size. Thread safe.
  void read(int64_t image, std::span<uint8_t> out) const;
  int32_t label(int64_t image) const { return labels_[static_cast<size_t>(image)]; }
  /// Throws DataError if pixels and labels do not have the checksum that dataset.json states.
  void verify() const;

 private:
  ImageDataset(ImageDatasetInfo info, std::shared_ptr<const MappedFile> pixels,
               std::vector<int32_t> labels);

  ImageDatasetInfo info_;
  std::shared_ptr<const MappedFile> pixels_;
  std::vector<int32_t> labels_;
};

}  // namespace ssa
