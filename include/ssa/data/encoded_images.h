#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/data/dataset_info.h"

namespace ssa {

/// What dataset.json of a prepared folder of JPEG and PNG files says. The pictures may have any
/// size.
struct EncodedImagesInfo {
  std::string name;                  ///< as given to `ssa-data prepare`
  std::vector<std::string> classes;  ///< WNIDs or folder names; a label is the number of one
  std::vector<std::string> sources;
  std::array<TokenRange, 3> splits;  ///< of images, in the order of Split; may be empty
  std::string checksum;  ///< XXH3-64 of the index, which has the CRC-32 of each file, and the names
  int64_t bytes = 0;     ///< of all files together
  int64_t resize = 0;    ///< longest shorter side in pixels; 0: as they came
  int64_t quality = 0;   ///< of the JPEGs that were resized; 0: as they came
  int64_t skipped = 0;   ///< pictures that cannot be decoded and were left out
  int64_t ignored = 0;   ///< files that are no pictures by their names

  int64_t images() const { return splits.back().end; }
  int64_t split_size(Split split) const { return splits[static_cast<size_t>(split)].size(); }
  /// "official ImageNet-1k split" or "custom split", for reports and logs. The official one is
  /// recognised by its counts.
  std::string split_description() const;
};

std::string dataset_to_json(const EncodedImagesInfo& info);
/// Reads the text of a dataset.json; `path` stands for it in messages. Throws DataError that names
/// the key if it is malformed or contradicts itself.
EncodedImagesInfo encoded_images_from_json(std::string_view json, const std::string& path);
/// Whether a prepared folder holds encoded images. False for a plain file. Throws DataError if
/// nothing is there.
bool holds_encoded_images(const std::string& path);

/// Pictures as the files they came in, with their labels, in three splits. Copies share the
/// mappings. Every function is thread safe.
class EncodedImages {
 public:
  /// Opens a prepared folder, looked for as TokenDataset::open() does. Throws DataError if it is
  /// not there, holds something else, or has an index that contradicts it.
  static EncodedImages open(const std::string& folder);

  const EncodedImagesInfo& info() const;
  /// The folder.
  const std::string& path() const;
  int64_t label(int64_t image) const;
  /// Pixels of an image, by the header of its file.
  int64_t width(int64_t image) const;
  int64_t height(int64_t image) const;
  /// The bytes of an image's file, mapped into memory. Throws DataError that names shard, offset
  /// and name if they have another CRC-32 than when the folder was prepared.
  std::span<const uint8_t> file(int64_t image) const;
  /// "train/n01440764/n01440764_18.JPEG", for messages and predictions. Bytes that are not UTF-8
  /// are written as \xNN.
  std::string name_of(int64_t image) const;
  /// Throws DataError if the files do not have the checksum that dataset.json states.
  void verify() const;

 private:
  struct Contents;
  explicit EncodedImages(std::shared_ptr<const Contents> contents);

  std::shared_ptr<const Contents> contents_;
};

}  // namespace ssa
