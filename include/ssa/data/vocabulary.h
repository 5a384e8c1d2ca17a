#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ssa/data/dataset_info.h"
#include "ssa/data/word_table.h"

namespace ssa {

/// The byte that a language model reads before the first byte of a split and after the last: '\n'.
inline constexpr int32_t kStartByte = 10;
/// The word that ends each line. A model of words reads it before a split.
inline constexpr std::string_view kEndOfLine = "</s>";
/// The word for all words that are not in the vocabulary.
inline constexpr std::string_view kUnknown = "<unk>";

/// The meaning of tokens: 256 bytes, or words by falling frequency.
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
  /// The token that a model reads before the first token of a split: kStartByte or kEndOfLine's
  /// token.
  int32_t start_token() const { return start_; }
  /// kUnknown's token for words; -1 for bytes, since no byte is unknown.
  int32_t unknown_token() const { return unknown_; }
  /// How often a word occurs in the train split; 0 for bytes.
  int64_t count(int32_t token) const;

  /// Token of a word; -1 if the vocabulary does not have it. ShapeError for a vocabulary of bytes.
  int32_t find(std::string_view word) const;
  /// The tokens of a text: its bytes, or its words, with kUnknown for unknown words and kEndOfLine
  /// for '\n'.
  std::vector<int32_t> encode(std::string_view text) const;
  /// The text of a token: the byte, or the word and a space, with '\n' for kEndOfLine. Concatenated
  /// they give a text. Throws ShapeError if there is no such token.
  std::string decode(int32_t token) const;

 private:
  Vocabulary() = default;

  TokenKind kind_ = TokenKind::bytes;
  WordTable words_;
  std::vector<int64_t> counts_;
  int32_t start_ = kStartByte;
  int32_t unknown_ = -1;
};

/// Writes one line per word: the word, a space, its count.
std::string vocabulary_to_text(const Vocabulary& vocabulary);
/// Reads it back. Throws DataError with `path` and the line if it is malformed.
Vocabulary vocabulary_from_text(std::string_view text, const std::string& path);

}  // namespace ssa
