#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/data/dataset_info.h"
#include "ssa/data/word_table.h"

namespace ssa {

/// What a language model reads in front of the first byte of a split, and behind the last: '\n'.
inline constexpr int32_t kStartByte = 10;
/// The word that ends each line; what a model of words reads in front of a split.
inline constexpr std::string_view kEndOfLine = "</s>";
/// The word that stands for all that the vocabulary does not have.
inline constexpr std::string_view kUnknown = "<unk>";

/// What tokens mean: 256 bytes, or words by falling frequency.
class Vocabulary {
 public:
  /// The 256 bytes.
  static Vocabulary bytes();
  /// Words in the order of their tokens, with how often each occurs in the train split. kEndOfLine
  /// and kUnknown have to be among them. Throws DataError if one is missing or a word comes twice;
  /// `origin` names the list in messages.
  static Vocabulary words(const std::vector<std::string>& words, std::vector<int64_t> counts,
                          std::string_view origin);

  TokenKind kind() const { return kind_; }
  int64_t size() const { return kind_ == TokenKind::bytes ? 256 : words_.size(); }
  /// What a model reads in front of the first token of a split: kStartByte or kEndOfLine's token.
  int32_t start_token() const { return start_; }
  /// Of words: kUnknown's token. -1 for bytes, none of which is unknown.
  int32_t unknown_token() const { return unknown_; }
  /// How often a word occurs in the train split; 0 for bytes.
  int64_t count(int32_t token) const;

  /// Token of a word; -1 if the vocabulary does not have it. ShapeError for a vocabulary of bytes.
  int32_t find(std::string_view word) const;
  /// Tokens of a text: its bytes, or its words, unknown ones as kUnknown, with kEndOfLine for '\n'.
  std::vector<int32_t> encode(std::string_view text) const;
  /// The byte; or the word and a space, kEndOfLine as '\n': what follows one another is a text.
  /// Throws ShapeError for a token that there is not.
  std::string decode(int32_t token) const;

 private:
  Vocabulary() = default;

  TokenKind kind_ = TokenKind::bytes;
  WordTable words_;
  std::vector<int64_t> counts_;
  int32_t start_ = kStartByte;
  int32_t unknown_ = -1;
};

/// A line a word: the word, a space, its count.
std::string vocabulary_to_text(const Vocabulary& vocabulary);
/// Reads it back. Throws DataError with `path` and the line if it is malformed.
Vocabulary vocabulary_from_text(std::string_view text, const std::string& path);

}  // namespace ssa
