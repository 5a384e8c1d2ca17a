#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ssa {

enum class Split { train, valid, test };
inline constexpr std::array kSplits = {Split::train, Split::valid, Split::test};
std::string_view name(Split split);
/// Throws ConfigError for anything but "train", "valid" and "test".
Split split_from_name(std::string_view text);

/// Bytes begin … end-1 of a file.
struct ByteRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

/// Size of the complete Enwik8.
inline constexpr int64_t kEnwik8Bytes = 100'000'000;
/// Fewer bytes than this would leave a split empty.
inline constexpr int64_t kSmallestByteDataset = 20;

/// First 90% of the bytes train, next 5% valid, the rest test, rounded down: for the 10^8 bytes of
/// Enwik8 its official 90,000,000 / 5,000,000 / 5,000,000. `what` names the data in errors. Throws
/// DataError below kSmallestByteDataset.
std::array<ByteRange, 3> split_bytes_90_5_5(int64_t bytes, std::string_view what);

/// What dataset.json of a prepared folder says.
struct DatasetInfo {
  std::string name;                  ///< as given to `ssa-data prepare`
  std::vector<std::string> sources;  ///< file names it was made from
  int64_t bytes = 0;                 ///< size of data.bin
  int64_t distinct_bytes = 0;        ///< how many byte values occur; 0: not counted
  std::string checksum;              ///< XXH3-64 of data.bin, 16 hexadecimal digits; empty: none
  std::array<ByteRange, 3> splits;   ///< in the order of Split

  /// 10^8 bytes cut as Enwik8's published results are: only such numbers compare with them.
  bool official_split() const;
  /// "official Enwik8 split" or "prefix/custom split", for reports and logs.
  std::string_view split_description() const;
};

inline constexpr const char* kDatasetFile = "dataset.json";
inline constexpr const char* kDataFile = "data.bin";

std::string dataset_to_json(const DatasetInfo& info);
/// Reads the text of a dataset.json; `path` stands for it in messages. Throws DataError that names
/// the key if it is malformed, contradicts itself or is of a newer format.
DatasetInfo dataset_from_json(std::string_view json, const std::string& path);

}  // namespace ssa
