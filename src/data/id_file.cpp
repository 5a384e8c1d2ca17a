#include "id_file.h"

#include <limits>
#include <optional>

#include <fmt/format.h>

#include "ssa/core/error.h"

#include "dataset_json.h"
#include "word_text.h"

namespace ssa {

namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

/// The digit's value; -1 for another character.
int hex_value(char digit) {
  if (digit >= 'A' && digit <= 'F') digit = static_cast<char>(digit - 'A' + 'a');
  const size_t value = kHexDigits.find(digit);
  return value == std::string_view::npos ? -1 : static_cast<int>(value);
}

/// The text without its escapes; nothing if one of them is unknown.
std::optional<std::string> unescaped(std::string_view line) {
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text += line[i];
      continue;
    }
    if (++i == line.size()) return std::nullopt;
    constexpr std::string_view kLetters = "nrt\\", kMeanings = "\n\r\t\\";
    if (const size_t known = kLetters.find(line[i]); known != std::string_view::npos) {
      text += kMeanings[known];
      continue;
    }
    if (line[i] != 'x' || i + 2 >= line.size()) return std::nullopt;
    const int high = hex_value(line[i + 1]), low = hex_value(line[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    text += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return text;
}

/// A line of ASCII and whole characters of UTF-8.
std::string escaped(std::string_view text) {
  const bool utf8 = find_not_utf8(text) == std::string_view::npos;
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      line += "\\n";
    } else if (c == '\\') {
      line += "\\\\";
    } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8)) {
      line += {'\\', 'x', kHexDigits[byte >> 4], kHexDigits[byte & 15]};
    } else {
      line += c;
    }
  }
  return line;
}

}  // namespace

std::vector<std::string> id_texts_from_lines(std::string_view text, const std::string& path) {
  std::vector<std::string> texts;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto plain = unescaped(line);
    if (!plain) {
      throw DataError(
          "'{}', line {}: a backslash begins an escape: \\n, \\r, \\t, \\\\ or \\xHH (a byte). "
          "Write a backslash itself as \\\\",
          path, texts.size() + 1);
    }
    texts.push_back(*plain);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return texts;
}

std::string ids_to_json(const Vocabulary& vocabulary) {
  Json root{{"vocabulary", vocabulary.size()}, {"start_token", vocabulary.start_token()}};
  Json texts = Json::array();
  if (vocabulary.has_texts()) {
    for (int32_t id = 0; id < vocabulary.size(); ++id) {
      texts.push_back(escaped(vocabulary.decode(id)));
    }
  }
  root["texts"] = std::move(texts);
  return to_text(root);
}

Vocabulary ids_from_text(std::string_view text, const std::string& path) {
  const DatasetReader reader(text, path);
  const int64_t size = reader.integer("vocabulary"), start = reader.integer("start_token");
  if (size < 1 || size > std::numeric_limits<int32_t>::max()) {
    reader.fail("vocabulary", "a number of ids that an int32 can count");
  }
  if (start >= size) reader.fail("start_token", "an id below the vocabulary's size");
  std::vector<std::string> texts = reader.texts("texts");
  if (!texts.empty() && std::ssize(texts) != size) {
    reader.fail("texts", "empty, or the text of each id");
  }
  for (std::string& one : texts) {
    auto plain = unescaped(one);
    if (!plain) reader.fail("texts", "lines with known escapes");
    one = std::move(*plain);
  }
  return Vocabulary::ids(size, static_cast<int32_t>(start), std::move(texts));
}

}  // namespace ssa
