#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "encoded_image_files.h"
#include "folder_writer.h"

namespace ssa {

/// What the journal of a folder in the making says of one image: its entry, whose size is 0 if the
/// image was left out, and the fingerprint of its source.
struct JournalRecord {
  IndexEntry entry;
  uint64_t source = 0;
};
static_assert(sizeof(JournalRecord) == 32);

inline constexpr const char* kJournalFile = "journal.bin";

/// Writes the shards and the index of a folder, in the order of the images. From time to time it
/// syncs the shard and then adds to a journal what the shard holds, so that a process that is
/// killed loses little.
class EncodedImageWriter {
 public:
  /// `writer` has to outlive this, and to keep shards and journal.
  EncodedImageWriter(FolderWriter& writer, int64_t shard_bytes);
  ~EncodedImageWriter();
  EncodedImageWriter(const EncodedImageWriter&) = delete;
  EncodedImageWriter& operator=(const EncodedImageWriter&) = delete;

  /// Takes over what an earlier process has left, as far as it was made of the same sources. Images
  /// that it left out only count if `skips_bad`. To be called once, before anything is added.
  /// Returns how many images are done.
  int64_t resume(std::span<const uint64_t> sources, bool skips_bad);
  /// The next image. Shard and offset of `entry` are set here.
  void add(std::span<const uint8_t> file, IndexEntry entry, uint64_t source);
  /// Leaves out the next image.
  void skip(uint64_t source);
  /// Puts all so far onto the disk, and into the journal.
  void sync();

  /// One record for each image so far.
  const std::vector<JournalRecord>& records() const { return records_; }
  int64_t bytes() const { return bytes_; }

 private:
  void start_shard(int64_t shard);

  FolderWriter& writer_;
  const int64_t shard_bytes_;
  std::vector<JournalRecord> records_;
  size_t journalled_ = 0;  // how many records the journal has
  int journal_ = -1;       // descriptor
  int64_t shard_ = -1;     // the one that is written
  int64_t offset_ = 0;     // its size
  int64_t unsynced_ = 0;   // bytes of it
  int64_t bytes_ = 0;      // of all shards
};

}  // namespace ssa
