#include "ssa/data/dataset_info.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/split_shares.h"

#include "dataset_json.h"

namespace ssa {

namespace {

constexpr const char* kBytes = "bytes";
constexpr const char* kWords = "words";
constexpr const char* kIds = "ids";
constexpr int64_t kMostTwoByteIds = 65'536;

// Merity et al. 2017, "Pointer Sentinel Mixture Models", with one </s> a line.
constexpr std::array kPublished = {
    PublishedCounts{"wikitext2", "WikiText-2", {2'088'628, 217'646, 245'569}, 33'278},
    PublishedCounts{"wikitext103", "WikiText-103", {103'227'021, 217'646, 245'569}, 267'735}};

std::string_view kind_name(TokenKind kind) {
  return kind == TokenKind::bytes ? kBytes : kind == TokenKind::words ? kWords : kIds;
}

void read_vocabulary(DatasetInfo& info, const DatasetReader& reader) {
  info.tokens = reader.integer("tokens");
  info.vocabulary = reader.integer("vocabulary");
  if (info.vocabulary < 1 || info.vocabulary > std::numeric_limits<int32_t>::max()) {
    reader.fail("vocabulary", "a number of tokens that an int32 can count");
  }
  info.vocabulary_checksum = reader.text("vocabulary_xxh3_64");
}

void read_unknown(DatasetInfo& info, const DatasetReader& reader) {
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
  throw ConfigError("unknown split '{}'; valid: train, valid, test", text);
}

std::array<TokenRange, 3> split_bytes_90_5_5(int64_t bytes, std::string_view what) {
  if (bytes < kSmallestByteDataset) {
    throw DataError(
        "{} has {} bytes; at least {} are needed for non-empty train, valid and test splits", what,
        bytes, kSmallestByteDataset);
  }
  return SplitShares().ranges(bytes, what, "bytes");
}

int64_t DatasetInfo::token_width() const {
  if (kind == TokenKind::bytes) return 1;
  return kind == TokenKind::ids && vocabulary <= kMostTwoByteIds ? 2 : 4;
}

std::string_view DatasetInfo::vocabulary_file() const {
  if (kind == TokenKind::bytes) return {};
  return kind == TokenKind::words ? kVocabularyFile : kIdFile;
}

const PublishedCounts* published_counts(std::string_view name) {
  const auto found = std::ranges::find(kPublished, name, &PublishedCounts::name);
  return found == kPublished.end() ? nullptr : &*found;
}

bool DatasetInfo::official_split() const {
  if (kind == TokenKind::bytes) {
    // Text8 has as many bytes.
    return name.starts_with("enwik8") && tokens == kEnwik8Bytes &&
           splits == split_bytes_90_5_5(tokens, name);
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
  Json root = dataset_head(info.name, kind_name(info.kind), info.sources);
  if (!info.options.empty()) root[kOptionsKey] = info.options;
  if (info.kind == TokenKind::bytes) {
    root["bytes"] = info.tokens;
    root["distinct_bytes"] = info.distinct_bytes;
  } else {
    root["tokens"] = info.tokens;
    root["vocabulary"] = info.vocabulary;
  }
  if (info.kind == TokenKind::words) root["unknown"] = info.unknown;
  root["splits"] = splits_to_json(info.splits);
  root["official_split"] = info.official_split();
  root["xxh3_64"] = info.checksum;
  if (info.kind != TokenKind::bytes) root["vocabulary_xxh3_64"] = info.vocabulary_checksum;
  return to_text(root);
}

DatasetInfo dataset_from_json(std::string_view json, const std::string& path) {
  const DatasetReader reader = read_dataset_json(json, path);
  const std::string kind = reader.text("kind");
  if (kind == kImages) {
    throw DataError("'{}' describes pictures, not a text. Give another data.path", path);
  }
  if (kind == kMoleculesKind) {
    throw DataError("'{}' describes molecules, not a text. Give another data.path", path);
  }
  const std::array kinds = {TokenKind::bytes, TokenKind::words, TokenKind::ids};
  const auto* const found =
      std::ranges::find(kinds, kind, [](TokenKind one) { return std::string(kind_name(one)); });
  if (found == kinds.end()) reader.fail("kind", "\"bytes\", \"words\" or \"ids\"");

  DatasetInfo info;
  info.kind = *found;
  info.name = reader.text("name");
  info.sources = reader.texts("sources");
  if (reader.has(kOptionsKey)) info.options = reader.text(kOptionsKey);
  if (info.kind == TokenKind::bytes) {
    info.tokens = reader.integer("bytes");
    info.distinct_bytes = reader.integer("distinct_bytes");
  } else {
    read_vocabulary(info, reader);
  }
  if (info.kind == TokenKind::words) read_unknown(info, reader);
  info.checksum = reader.text("xxh3_64");
  info.splits = read_splits(reader, info.tokens, info.unit(), /*may_be_empty=*/true);
  if (info.splits.front().size() == 0) reader.fail("splits.train", "not empty");
  return info;
}

}  // namespace ssa
