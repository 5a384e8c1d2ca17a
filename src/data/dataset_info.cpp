#include "ssa/data/dataset_info.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ssa/core/error.h"

namespace ssa {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "ssa-dataset";
constexpr int64_t kFormatVersion = 1;
constexpr const char* kKind = "bytes";

/// Reads the values of one dataset.json; every complaint names the file and the key.
class Reader {
 public:
  Reader(std::string_view text, const std::string& path) : path_(path) {
    try {
      root_ = Json::parse(text);
    } catch (const Json::exception& error) {
      throw DataError("'{}' is not valid JSON ({}). Prepare the data set again.", path_,
                      error.what());
    }
    if (!root_.is_object()) fail("the file", "an object");
  }

  int64_t integer(const char* key) const { return integer(at(key), key); }
  int64_t integer(const Json& value, const std::string& key) const {
    // An unsigned value beyond int64 would wrap; sizes are far below.
    if (!value.is_number_integer() || value < 0 || value > int64_t{1} << 62) {
      fail(key, "an integer of at least 0");
    }
    return value.get<int64_t>();
  }
  std::string text(const char* key) const {
    if (!at(key).is_string()) fail(key, "a string");
    return at(key).get<std::string>();
  }
  const Json& at(const char* key) const {
    const auto found = root_.find(key);
    if (found == root_.end()) throw_data_error(fmt::format("key '{}' is missing", key));
    return *found;
  }
  ByteRange range(const Json& value, const std::string& key) const {
    if (!value.is_array() || value.size() != 2) fail(key, "a pair [begin, end]");
    return {integer(value[0], key), integer(value[1], key)};
  }
  [[noreturn]] void fail(const std::string& key, std::string_view wanted) const {
    throw_data_error(fmt::format("{} should be {}", key, wanted));
  }
  [[noreturn]] void throw_data_error(const std::string& problem) const {
    throw DataError("'{}': {}. Prepare the data set again with `ssa-data prepare`.", path_,
                    problem);
  }

 private:
  std::string path_;
  Json root_;
};

void check_splits(const DatasetInfo& info, const Reader& reader) {
  int64_t end = 0;
  for (const ByteRange& range : info.splits) {
    if (range.begin != end || range.end <= range.begin) {
      reader.throw_data_error("splits overlap, leave a gap or are empty");
    }
    end = range.end;
  }
  if (end != info.bytes) {
    reader.throw_data_error(
        fmt::format("splits end at byte {} but 'bytes' is {}", end, info.bytes));
  }
}

}  // namespace

std::string_view name(Split split) {
  switch (split) {
    case Split::train:
      return "train";
    case Split::valid:
      return "valid";
    case Split::test:
      return "test";
  }
  return "unknown";
}

Split split_from_name(std::string_view text) {
  for (const Split split : kSplits) {
    if (name(split) == text) return split;
  }
  throw ConfigError("unknown split '{}': it is train, valid or test", text);
}

std::array<ByteRange, 3> split_bytes_90_5_5(int64_t bytes, std::string_view what) {
  if (bytes < kSmallestByteDataset) {
    throw DataError(
        "{} has {} bytes; at least {} are needed for non-empty train, valid and test splits", what,
        bytes, kSmallestByteDataset);
  }
  // Whole hundreds first: bytes·90 would overflow for absurd sizes.
  const int64_t train = bytes / 100 * 90 + bytes % 100 * 90 / 100;
  const int64_t valid = bytes / 100 * 5 + bytes % 100 * 5 / 100;
  return {ByteRange{0, train}, ByteRange{train, train + valid}, ByteRange{train + valid, bytes}};
}

bool DatasetInfo::official_split() const {
  return bytes == kEnwik8Bytes && splits == split_bytes_90_5_5(bytes, name);
}

std::string_view DatasetInfo::split_description() const {
  return official_split() ? "official Enwik8 split" : "prefix/custom split";
}

std::string dataset_to_json(const DatasetInfo& info) {
  Json splits = Json::object();
  for (const Split split : kSplits) {
    const ByteRange& range = info.splits[static_cast<size_t>(split)];
    splits[std::string(name(split))] = {range.begin, range.end};
  }
  const Json root = {{"format", kFormat},
                     {"format_version", kFormatVersion},
                     {"name", info.name},
                     {"kind", kKind},
                     {"sources", info.sources},
                     {"bytes", info.bytes},
                     {"distinct_bytes", info.distinct_bytes},
                     {"splits", splits},
                     {"official_split", info.official_split()},
                     {"xxh3_64", info.checksum}};
  // File names need not be UTF-8; JSON has to be.
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

DatasetInfo dataset_from_json(std::string_view json, const std::string& path) {
  const Reader reader(json, path);
  if (reader.text("format") != kFormat) {
    reader.fail("format", fmt::format("\"{}\"", kFormat));
  }
  if (const int64_t version = reader.integer("format_version"); version != kFormatVersion) {
    reader.throw_data_error(fmt::format("format_version is {}, this program reads version {}",
                                        version, kFormatVersion));
  }
  if (reader.text("kind") != kKind) reader.fail("kind", fmt::format("\"{}\"", kKind));

  DatasetInfo info;
  info.name = reader.text("name");
  const Json& sources = reader.at("sources");
  if (!sources.is_array()) reader.fail("sources", "a list of file names");
  for (const Json& source : sources) {
    if (!source.is_string()) reader.fail("sources", "a list of file names");
    info.sources.push_back(source.get<std::string>());
  }
  info.bytes = reader.integer("bytes");
  info.distinct_bytes = reader.integer("distinct_bytes");
  info.checksum = reader.text("xxh3_64");
  const Json& splits = reader.at("splits");
  for (const Split split : kSplits) {
    const std::string key(name(split));
    if (!splits.is_object() || !splits.contains(key)) reader.fail("splits", "{train, valid, test}");
    info.splits[static_cast<size_t>(split)] = reader.range(splits[key], "splits." + key);
  }
  check_splits(info, reader);
  return info;
}

}  // namespace ssa
