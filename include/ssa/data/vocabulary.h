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

/// The meaning of tokens: 256 bytes, words by falling frequency, or ids of another program's
/// tokenizer, whose texts may be known.
class Vocabulary {
 public:
  /// The 256 bytes.
  static Vocabulary bytes();
  /// Words in the order of their tokens, with how often each occurs in the train split. kEndOfLine
  /// and kUnknown have to be among them. Throws DataError if one is missing or a word comes twice;
  /// `origin` names the list in messages.
  static Vocabulary words(const std::vector<std::string>& words, std::vector<int64_t> counts,
                          std::string_view origin);
  /// Ids 0 … size-1. `texts` has the text of each, or is empty. Throws ShapeError for another
  /// number of texts, and for a start token that is no id.
  static Vocabulary ids(int64_t size, int32_t start_token, std::vector<std::string> texts = {});

  TokenKind kind() const { return kind_; }
  int64_t size() const { return size_; }
  /// The token that a model reads before the first token of a split: kStartByte, kEndOfLine's
  /// token, or what `ssa-data prepare ids --start-token` says.
  int32_t start_token() const { return start_; }
  /// kUnknown's token for words; -1 for bytes and ids, none of which is unknown.
  int32_t unknown_token() const { return unknown_; }
  /// How often a word occurs in the train split; 0 for bytes and ids.
  int64_t count(int32_t token) const;
  /// Whether decode() gives the text of an id, and not its number.
  bool has_texts() const { return kind_ != TokenKind::ids || !texts_.empty(); }

  /// Token of a word; -1 if the vocabulary does not have it. ShapeError for another vocabulary.
  int32_t find(std::string_view word) const;
  /// The tokens of a text: its bytes; its words, with kUnknown for unknown words and kEndOfLine for
  /// '\n'; or the ids that it lists between commas and whitespace. Throws ConfigError for what is
  /// no id.
  std::vector<int32_t> encode(std::string_view text) const;
  /// The text of a token: the byte; the word and a space, with '\n' for kEndOfLine; the text of the
  /// id, or its number and a space. Concatenated they give a text. Throws ShapeError if there is no
  /// such token.
  std::string decode(int32_t token) const;

 private:
  Vocabulary() = default;

  TokenKind kind_ = TokenKind::bytes;
  int64_t size_ = 256;
  WordTable words_;
  std::vector<int64_t> counts_;
  std::vector<std::string> texts_;  // of ids
  int32_t start_ = kStartByte;
  int32_t unknown_ = -1;
};

/// The file of a vocabulary. Of words one line each: the word, a space, its count. Of ids a JSON
/// object. Throws ShapeError for bytes, which have none.
std::string vocabulary_to_text(const Vocabulary& vocabulary);
/// XXH3-64 of that file, as dataset.json and checkpoints state it.
std::string vocabulary_checksum(std::string_view file_text);
/// Reads back that of words. Throws DataError with `path` and the line if it is malformed.
Vocabulary vocabulary_from_text(std::string_view text, const std::string& path);
/// Reads back that of ids. Throws DataError with `path` and the key if it is malformed.
Vocabulary ids_from_text(std::string_view text, const std::string& path);

/// Reads a list of words that another program made: a word a line, or each with its count. A list
/// that says what kEndOfLine is keeps its order, and gets kUnknown at its end if that is missing. A
/// list with counts that does not is fairseq's dict.txt, whose first four words are not in the
/// file: <s>, <pad>, </s> and <unk> are put in front. In front of a list without counts </s> and
/// <unk> are put, as far as they are missing. Throws DataError with `path` and the line for
/// anything else.
Vocabulary vocabulary_from_list(std::string_view text, const std::string& path);

/// Reads the texts of ids, one a line, in which \n, \r, \t, \\ and \xHH (a byte) are escapes.
/// Throws DataError with `path` and the line if it is malformed.
std::vector<std::string> id_texts_from_lines(std::string_view text, const std::string& path);

}  // namespace ssa
