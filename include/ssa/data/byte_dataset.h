#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ssa/data/dataset_info.h"
#include "ssa/data/mapped_file.h"

namespace ssa {

/// A text as bytes, in three splits. Copies share the mapping.
class ByteDataset {
 public:
  /// Opens a prepared folder, or any plain file (split 90/5/5 by bytes). A relative path that does
  /// not exist is also looked for under $SSA_DATA_DIR, by its last components: data/enwik8 is
  /// found as $SSA_DATA_DIR/data/enwik8, then as $SSA_DATA_DIR/enwik8.
  ///
  /// Throws DataError if nothing is there, if data.bin does not have the size that dataset.json
  /// states, or if only a packed file is there (the message gives the `ssa-data prepare` command).
  static ByteDataset open(const std::string& path);

  const DatasetInfo& info() const { return info_; }
  /// The file that holds the bytes.
  const std::string& path() const { return file_->path(); }
  /// All bytes of the three splits. Throws DataError if the file has shrunk; see MappedFile.
  std::span<const uint8_t> bytes() const;
  /// The bytes of one split. Throws DataError if the file has shrunk; see MappedFile.
  std::span<const uint8_t> split(Split split) const;
  int64_t split_size(Split split) const { return range(split).size(); }
  /// Copies bytes offset … offset+out.size()-1 of a split; safe against a shrinking file.
  void read(Split split, int64_t offset, std::span<uint8_t> out) const;
  /// False for a prefix of Enwik8 or any other text: results then have to say so.
  bool official_split() const { return info_.official_split(); }
  /// Throws DataError if the file has shrunk since it was opened.
  void check_size() const { file_->check_size(); }

 private:
  ByteDataset(std::shared_ptr<const MappedFile> file, DatasetInfo info)
      : file_(std::move(file)), info_(std::move(info)) {}
  const ByteRange& range(Split split) const { return info_.splits[static_cast<size_t>(split)]; }

  std::shared_ptr<const MappedFile> file_;
  DatasetInfo info_;
};

/// What one pass over all bytes finds.
struct ByteScan {
  int64_t distinct_bytes = 0;
  std::string checksum;  ///< XXH3-64, 16 hexadecimal digits
};
ByteScan scan(const ByteDataset& dataset);
/// Throws DataError if the bytes do not have the checksum that dataset.json states; a plain file
/// states none and passes.
void verify(const ByteDataset& dataset);

}  // namespace ssa
