#include "ssa/data/vocabulary.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "byte_tally.h"
#include "id_file.h"
#include "word_text.h"

namespace ssa {

Vocabulary Vocabulary::bytes() { return {}; }

Vocabulary Vocabulary::words(const std::vector<std::string>& words, std::vector<int64_t> counts,
                             std::string_view origin) {
  SSA_CHECK(words.size() == counts.size(), "Vocabulary: {} words with {} counts", words.size(),
            counts.size());
  Vocabulary result;
  result.kind_ = TokenKind::words;
  for (size_t i = 0; i < words.size(); ++i) {
    if (result.words_.add(words[i]) != static_cast<int32_t>(i)) {
      throw DataError("'{}': word {} '{}' occurs twice. Prepare the data set again.", origin, i + 1,
                      words[i]);
    }
  }
  result.size_ = result.words_.size();
  result.counts_ = std::move(counts);
  result.start_ = result.words_.find(kEndOfLine);
  result.unknown_ = result.words_.find(kUnknown);
  if (result.start_ < 0 || result.unknown_ < 0) {
    throw DataError("'{}': the word {} is missing. Prepare the data set again.", origin,
                    result.start_ < 0 ? kEndOfLine : kUnknown);
  }
  return result;
}

Vocabulary Vocabulary::ids(int64_t size, int32_t start_token, std::vector<std::string> texts) {
  SSA_CHECK(texts.empty() || std::ssize(texts) == size, "Vocabulary: {} texts for {} ids",
            texts.size(), size);
  SSA_CHECK(start_token >= 0 && start_token < size, "Vocabulary: no start token {} among {}",
            start_token, size);
  Vocabulary result;
  result.kind_ = TokenKind::ids;
  result.size_ = size;
  result.start_ = start_token;
  result.texts_ = std::move(texts);
  return result;
}

int64_t Vocabulary::count(int32_t token) const {
  SSA_CHECK(token >= 0 && token < size(), "Vocabulary: no token {} among {}", token, size());
  return counts_.empty() ? 0 : counts_[static_cast<size_t>(token)];
}

int32_t Vocabulary::find(std::string_view word) const {
  SSA_CHECK(kind_ == TokenKind::words, "Vocabulary: only words can be found");
  return words_.find(word);
}

namespace {

/// The ids in a list such as "1, 2 3".
std::vector<int32_t> listed_ids(std::string_view text, int64_t size) {
  const auto separates = [](char c) {
    return c == ',' || std::isspace(static_cast<unsigned char>(c)) != 0;
  };
  std::vector<int32_t> ids;
  bool comma_may_follow = false;
  for (size_t begin = 0; begin < text.size();) {
    if (separates(text[begin])) {
      if (text[begin] == ',' && !std::exchange(comma_may_follow, false)) {
        throw ConfigError("'{}': an id is missing before a comma; give ids as in 1,2,3", text);
      }
      ++begin;
      continue;
    }
    const auto* const end = std::find_if(text.begin() + begin, text.end(), separates);
    const std::string_view one(text.data() + begin, end);
    int32_t id = -1;
    const auto [stop, error] = std::from_chars(one.data(), one.data() + one.size(), id);
    if (error != std::errc() || stop != one.data() + one.size() || id < 0 || id >= size) {
      throw ConfigError("'{}' is no id; give numbers from 0 to {}, as in 1,2,3", one, size - 1);
    }
    ids.push_back(id);
    comma_may_follow = true;
    begin += one.size();
  }
  return ids;
}

}  // namespace

std::vector<int32_t> Vocabulary::encode(std::string_view text) const {
  if (kind_ == TokenKind::ids) return listed_ids(text, size_);
  std::vector<int32_t> tokens;
  if (kind_ == TokenKind::bytes) {
    for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
    return tokens;
  }
  for_each_word(
      text,
      [&](std::string_view word, size_t) {
        const int32_t token = words_.find(word);
        tokens.push_back(token < 0 ? unknown_ : token);
      },
      [&](size_t) { tokens.push_back(start_); });
  return tokens;
}

std::string Vocabulary::decode(int32_t token) const {
  SSA_CHECK(token >= 0 && token < size(), "Vocabulary: no token {} among {}", token, size());
  if (kind_ == TokenKind::bytes) return {static_cast<char>(token)};
  if (kind_ == TokenKind::ids) {
    return texts_.empty() ? fmt::format("{} ", token) : texts_[static_cast<size_t>(token)];
  }
  if (token == start_) return "\n";
  return std::string(words_.word(token)) + ' ';
}

std::string vocabulary_to_text(const Vocabulary& vocabulary) {
  SSA_CHECK(vocabulary.kind() != TokenKind::bytes, "Vocabulary: bytes need no file");
  if (vocabulary.kind() == TokenKind::ids) return ids_to_json(vocabulary);
  std::string text;
  for (int32_t token = 0; token < vocabulary.size(); ++token) {
    text += token == vocabulary.start_token() ? std::string(kEndOfLine) + ' '
                                              : vocabulary.decode(token);
    text += fmt::format("{}\n", vocabulary.count(token));
  }
  return text;
}

std::string vocabulary_checksum(std::string_view file_text) {
  ByteTally tally;
  tally.add({reinterpret_cast<const uint8_t*>(file_text.data()), file_text.size()});
  return tally.checksum();
}

Vocabulary vocabulary_from_text(std::string_view text, const std::string& path) {
  std::vector<std::string> words;
  std::vector<int64_t> counts;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const size_t space = line.find(' ');
    int64_t count = -1;
    bool good = end != std::string_view::npos && space != 0 && space != std::string_view::npos;
    if (good) {
      const char* last = line.data() + line.size();
      const auto parsed = std::from_chars(line.data() + space + 1, last, count);
      good = parsed.ec == std::errc() && parsed.ptr == last && count >= 0;
    }
    if (!good) {
      throw DataError(
          "'{}', line {}: a word, a space and its count are expected. Prepare the data set again.",
          path, words.size() + 1);
    }
    words.emplace_back(line.substr(0, space));
    counts.push_back(count);
    text.remove_prefix(end + 1);
  }
  return Vocabulary::words(words, std::move(counts), path);
}

}  // namespace ssa
