#include "ssa/data/dataset_info.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ssa/core/error.h"

namespace ssa {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "ssa-dataset";
constexpr int64_t kFormatVersion = 1;
constexpr const char* kBytes = "bytes";
constexpr const char* kWords = "words";
// More tokens than any file holds; small enough to multiply with their width.
constexpr int64_t kMostTokens = int64_t{1} << 60;

// Merity et al. 2017, "Pointer Sentinel Mixture Models", with one </s> a line.
constexpr std::array kPublished = {
    PublishedCounts{"wikitext2", "WikiText-2", {2'088'628, 217'646, 245'569}, 33'278},
    PublishedCounts{"wikitext103", "WikiText-103", {103'227'021, 217'646, 245'569}, 267'735}};

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
    // An unsigned value beyond int64 would wrap.
    if (!value.is_number_integer() || value < 0 || value > kMostTokens) {
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
  TokenRange range(const Json& value, const std::string& key) const {
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
  for (const TokenRange& range : info.splits) {
    if (range.begin != end || range.end <= range.begin) {
      reader.throw_data_error("splits overlap, leave a gap or are empty");
    }
    end = range.end;
  }
  if (end != info.tokens) {
    reader.throw_data_error(
        fmt::format("splits end at {} but there are {} {}", end, info.tokens, info.unit()));
  }
}

void read_words(DatasetInfo& info, const Reader& reader) {
  info.kind = TokenKind::words;
  info.tokens = reader.integer("tokens");
  info.vocabulary = reader.integer("vocabulary");
  if (info.vocabulary < 1 || info.vocabulary > std::numeric_limits<int32_t>::max()) {
    reader.fail("vocabulary", "a number of words that an int32 can count");
  }
  info.vocabulary_checksum = reader.text("vocabulary_xxh3_64");
  const Json& unknown = reader.at("unknown");
  if (!unknown.is_array() || unknown.size() != info.unknown.size()) {
    reader.fail("unknown", "three numbers");
  }
  for (size_t i = 0; i < info.unknown.size(); ++i) {
    info.unknown[i] = reader.integer(unknown[i], "unknown");
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

std::array<TokenRange, 3> split_bytes_90_5_5(int64_t bytes, std::string_view what) {
  if (bytes < kSmallestByteDataset) {
    throw DataError(
        "{} has {} bytes; at least {} are needed for non-empty train, valid and test splits", what,
        bytes, kSmallestByteDataset);
  }
  // Whole hundreds first: bytes·90 would overflow for absurd sizes.
  const int64_t train = bytes / 100 * 90 + bytes % 100 * 90 / 100;
  const int64_t valid = bytes / 100 * 5 + bytes % 100 * 5 / 100;
  return {TokenRange{0, train}, TokenRange{train, train + valid}, TokenRange{train + valid, bytes}};
}

const PublishedCounts* published_counts(std::string_view name) {
  const auto found = std::ranges::find(kPublished, name, &PublishedCounts::name);
  return found == kPublished.end() ? nullptr : &*found;
}

bool DatasetInfo::official_split() const {
  if (kind == TokenKind::bytes) {
    return tokens == kEnwik8Bytes && splits == split_bytes_90_5_5(tokens, name);
  }
  const PublishedCounts* published = published_counts(name);
  if (!published || vocabulary != published->vocabulary) return false;
  for (size_t i = 0; i < splits.size(); ++i) {
    if (splits[i].size() != published->tokens[i]) return false;
  }
  return true;
}

std::string DatasetInfo::split_description() const {
  if (!official_split()) return "prefix/custom split";
  return fmt::format("official {} split", kind == TokenKind::bytes ? std::string_view("Enwik8")
                                                                   : published_counts(name)->title);
}

std::string dataset_to_json(const DatasetInfo& info) {
  const bool words = info.kind == TokenKind::words;
  Json root = {{"format", kFormat},
               {"format_version", kFormatVersion},
               {"name", info.name},
               {"kind", words ? kWords : kBytes},
               {"sources", info.sources}};
  if (words) {
    root["tokens"] = info.tokens;
    root["vocabulary"] = info.vocabulary;
    root["unknown"] = info.unknown;
  } else {
    root["bytes"] = info.tokens;
    root["distinct_bytes"] = info.distinct_bytes;
  }
  for (const Split split : kSplits) {
    const TokenRange& range = info.splits[static_cast<size_t>(split)];
    root["splits"][std::string(name(split))] = {range.begin, range.end};
  }
  root["official_split"] = info.official_split();
  root["xxh3_64"] = info.checksum;
  if (words) root["vocabulary_xxh3_64"] = info.vocabulary_checksum;
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
  const std::string kind = reader.text("kind");
  if (kind != kBytes && kind != kWords) reader.fail("kind", "\"bytes\" or \"words\"");

  DatasetInfo info;
  info.name = reader.text("name");
  const Json& sources = reader.at("sources");
  if (!sources.is_array()) reader.fail("sources", "a list of file names");
  for (const Json& source : sources) {
    if (!source.is_string()) reader.fail("sources", "a list of file names");
    info.sources.push_back(source.get<std::string>());
  }
  if (kind == kWords) {
    read_words(info, reader);
  } else {
    info.tokens = reader.integer("bytes");
    info.distinct_bytes = reader.integer("distinct_bytes");
  }
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
