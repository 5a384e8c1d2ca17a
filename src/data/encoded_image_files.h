#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ssa {

// The files of a prepared folder of encoded images:
//   shard-00000.bin …  the files of the pictures, one behind the other
//   index.bin          where each picture is: IndexEntry, in the order of the splits
//   names.bin          the name of each picture's file in its class, each with a zero byte behind
//   it classes.txt        a class per line, for people and for `--classes` dataset.json
//   EncodedImagesInfo

inline constexpr const char* kIndexFile = "index.bin";
inline constexpr const char* kNameFile = "names.bin";
inline constexpr const char* kClassFile = "classes.txt";
inline constexpr const char* kShardPattern = "shard-*.bin";  // for fnmatch()
inline constexpr int64_t kMostShards = int64_t{1} << 16;
inline constexpr int64_t kMostClasses = int64_t{1} << 16;
inline constexpr int64_t kLongestSide = (int64_t{1} << 16) - 1;

/// One picture, as index.bin stores it: 24 bytes, little endian.
struct IndexEntry {
  uint64_t offset = 0;  ///< of its file in the shard
  uint32_t size = 0;    ///< of its file in bytes
  uint32_t crc32 = 0;   ///< of its file
  uint16_t label = 0;
  uint16_t width = 0, height = 0;  ///< pixels
  uint16_t shard = 0;

  uint64_t end() const { return offset + size; }
  bool operator==(const IndexEntry&) const = default;
};
static_assert(sizeof(IndexEntry) == 24);

/// "shard-00012.bin"
std::string shard_name(int64_t shard);
uint32_t crc32_of(std::span<const uint8_t> bytes);
/// XXH3-64 of index.bin and names.bin. It stands for the pictures too: the index has their CRC-32.
std::string index_checksum(std::span<const IndexEntry> index, std::string_view names);
/// The text on one line of UTF-8: other bytes and control characters are written as \xNN.
std::string printable(std::string_view text);

}  // namespace ssa
