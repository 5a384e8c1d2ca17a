#include "ssa/data/dataset_info.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "dataset_json.h"

namespace ssa {

namespace {

constexpr const char* kBytes = "bytes";
constexpr const char* kWords = "words";

// Merity et al. 2017, "Pointer Sentinel Mixture Models", with one </s> a line.
constexpr std::array kPublished = {
    PublishedCounts{"wikitext2", "WikiText-2", {2'088'628, 217'646, 245'569}, 33'278},
    PublishedCounts{"wikitext103", "WikiText-103", {103'227'021, 217'646, 245'569}, 267'735}};

void read_words(DatasetInfo& info, const DatasetReader& reader) {
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
  throw ConfigError("unknown split '{}'; valid: train, valid, test", text);
}

std::array<TokenRange, 3> split_bytes_90_5_5(int64_t bytes, std::string_view what) {
  if (bytes < kSmallestByteDataset) {
    throw DataError(
        "{} has {} bytes; at least {} are needed for non-empty train, valid and test splits", what,
        bytes, kSmallestByteDataset);
  }
  // Divides first: bytes·90 would overflow for absurd sizes.
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
  Json root = dataset_head(info.name, words ? kWords : kBytes, info.sources);
  if (words) {
    root["tokens"] = info.tokens;
    root["vocabulary"] = info.vocabulary;
    root["unknown"] = info.unknown;
  } else {
    root["bytes"] = info.tokens;
    root["distinct_bytes"] = info.distinct_bytes;
  }
  root["splits"] = splits_to_json(info.splits);
  root["official_split"] = info.official_split();
  root["xxh3_64"] = info.checksum;
  if (words) root["vocabulary_xxh3_64"] = info.vocabulary_checksum;
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
  if (kind != kBytes && kind != kWords) reader.fail("kind", "\"bytes\" or \"words\"");

  DatasetInfo info;
  info.name = reader.text("name");
  info.sources = reader.texts("sources");
  if (kind == kWords) {
    read_words(info, reader);
  } else {
    info.tokens = reader.integer("bytes");
    info.distinct_bytes = reader.integer("distinct_bytes");
  }
  info.checksum = reader.text("xxh3_64");
  info.splits = read_splits(reader, info.tokens, info.unit(), /*may_be_empty=*/false);
  return info;
}

}  // namespace ssa
