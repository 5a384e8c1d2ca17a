// Reads lists of words that other programs made.

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "ssa/core/error.h"
#include "ssa/data/vocabulary.h"

#include "word_text.h"

namespace ssa {

namespace {

/// fairseq's first words, which its dict.txt leaves out.
constexpr std::array<std::string_view, 4> kFairseqFirst = {"<s>", "<pad>", kEndOfLine, kUnknown};
constexpr std::string_view kOverwrite = "#fairseq:overwrite";

struct ListedWord {
  std::string word;
  std::optional<int64_t> count;
};

/// The number that the text is; nothing for another text.
std::optional<int64_t> count_from(std::string_view text) {
  int64_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || stop != text.data() + text.size() || count < 0) return std::nullopt;
  return count;
}

[[noreturn]] void fail(const std::string& path, size_t line, std::string_view problem) {
  throw DataError("'{}', line {}: {}", path, line, problem);
}

/// The word in a line; nothing in an empty one.
std::optional<ListedWord> word_in(std::string_view line, const std::string& path, size_t number) {
  if (find_not_utf8(line) != std::string_view::npos) fail(path, number, "this is not UTF-8");
  std::vector<std::string_view> fields;
  for_each_word(
      line, [&](std::string_view field, size_t) { fields.push_back(field); }, [](size_t) {});
  if (fields.empty()) return std::nullopt;
  if (fields.back() == kOverwrite) {
    fail(path, number, "a word that overwrites a special symbol of fairseq is not supported");
  }
  ListedWord result{std::string(fields.front()), std::nullopt};
  if (fields.size() == 2) result.count = count_from(fields.back());
  if (fields.size() > 2 || (fields.size() == 2 && !result.count)) {
    fail(path, number, "a word, or a word and its count, is expected");
  }
  return result;
}

std::vector<ListedWord> words_in(std::string_view text, const std::string& path) {
  std::vector<ListedWord> words;
  WordTable known;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    if (auto word = word_in(text.substr(0, end), path, number)) {
      if (!words.empty() && words.front().count.has_value() != word->count.has_value()) {
        fail(path, number, "some words have a count and others have none");
      }
      if (known.add(word->word) != static_cast<int32_t>(words.size())) {
        fail(path, number, fmt::format("the word '{}' is there a second time", word->word));
      }
      words.push_back(std::move(*word));
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return words;
}

bool has(const std::vector<ListedWord>& words, std::string_view word) {
  return std::ranges::find(words, word, &ListedWord::word) != words.end();
}

}  // namespace

Vocabulary vocabulary_from_list(std::string_view text, const std::string& path) {
  const std::vector<ListedWord> listed = words_in(text, path);
  if (listed.empty()) throw DataError("'{}' is empty: a list of words is expected", path);
  const bool fairseq = listed.front().count && !has(listed, kEndOfLine);
  std::vector<std::string> words;
  std::vector<int64_t> counts;
  const auto add = [&](std::string_view word, int64_t count) {
    words.emplace_back(word);
    counts.push_back(count);
  };
  if (fairseq) {
    for (const std::string_view special : kFairseqFirst) add(special, 0);
  } else if (!listed.front().count) {
    for (const std::string_view special : {kEndOfLine, kUnknown}) {
      if (!has(listed, special)) add(special, 0);
    }
  }
  for (const ListedWord& one : listed) add(one.word, one.count.value_or(0));
  if (std::ranges::find(words, kUnknown) == words.end()) add(kUnknown, 0);
  return Vocabulary::words(words, std::move(counts), path);
}

}  // namespace ssa
