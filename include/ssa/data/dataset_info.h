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

/// What a token stands for: a byte, a word, or a number that somebody else's tokenizer gave.
enum class TokenKind { bytes, words, ids };

/// Tokens begin … end-1 of a data set.
struct TokenRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const TokenRange&) const = default;
};

/// Size of the complete Enwik8.
inline constexpr int64_t kEnwik8Bytes = 100'000'000;
/// With fewer bytes a split would be empty.
inline constexpr int64_t kSmallestByteDataset = 20;

/// First 90% of the bytes train, next 5% valid, the rest test, rounded down: for the 10^8 bytes of
/// Enwik8 its official 90,000,000 / 5,000,000 / 5,000,000. `what` names the data in errors. Throws
/// DataError below kSmallestByteDataset.
std::array<TokenRange, 3> split_bytes_90_5_5(int64_t bytes, std::string_view what);

/// The published counts of a word-level data set, with one `</s>` per line.
struct PublishedCounts {
  std::string_view name;   ///< as given to `ssa-data prepare`
  std::string_view title;  ///< "WikiText-103"
  std::array<int64_t, 3> tokens;
  int64_t vocabulary;
};
/// The counts of the data set of this name; null if there are none.
const PublishedCounts* published_counts(std::string_view name);

/// The content of a prepared folder's dataset.json.
struct DatasetInfo {
  std::string name;  ///< as given to `ssa-data prepare`
  TokenKind kind = TokenKind::bytes;
  std::vector<std::string> sources;  ///< file names it was made from
  int64_t tokens = 0;                ///< of the three splits together
  int64_t distinct_bytes = 0;        ///< bytes: how many values occur; 0: not counted
  int64_t vocabulary = 256;          ///< how many different tokens there can be
  std::string checksum;              ///< XXH3-64 of the tokens as stored, 16 digits; empty: none
  std::string vocabulary_checksum;   ///< XXH3-64 of vocabulary_file(); empty for bytes
  std::array<int64_t, 3> unknown{};  ///< words: how many of a split became `<unk>`
  std::array<TokenRange, 3> splits;  ///< in the order of Split; only train is never empty
  std::string options;               ///< of the command that made it, apart from its inputs

  /// Bytes that a token takes in its file, little endian: 1 for bytes; 4 for words; for ids 2, or 4
  /// where the vocabulary has more than 65,536.
  int64_t token_width() const;
  /// The file of the vocabulary; empty for bytes, which have none.
  std::string_view vocabulary_file() const;
  /// Size of all tokens in their file, its header not counted.
  int64_t bytes() const { return tokens * token_width(); }
  /// The unit of a number of tokens: "bytes" or "tokens".
  std::string_view unit() const { return kind == TokenKind::bytes ? "bytes" : "tokens"; }
  /// Whether these are the splits of the published results of Enwik8, WikiText-2 or WikiText-103.
  /// Only such results compare with them.
  bool official_split() const;
  /// "official Enwik8 split" or "prefix/custom split", for reports and logs.
  std::string split_description() const;
};

inline constexpr const char* kDatasetFile = "dataset.json";
inline constexpr const char* kDataFile = "data.bin";         // bytes
inline constexpr const char* kTokenFile = "tokens.bin";      // words, ids
inline constexpr const char* kVocabularyFile = "vocab.txt";  // words
inline constexpr const char* kIdFile = "vocabulary.json";    // ids

std::string dataset_to_json(const DatasetInfo& info);
/// Reads the text of a dataset.json; messages call it `path`. Throws DataError, naming the key, if
/// it is malformed, contradicts itself or has a newer format.
DatasetInfo dataset_from_json(std::string_view json, const std::string& path);

}  // namespace ssa
