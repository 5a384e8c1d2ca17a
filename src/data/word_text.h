#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ssa {

/// Bytes of whitespace at the beginning of `rest`. Whitespace is that of Python's str.split(),
/// which made the published counts of WikiText.
inline size_t whitespace_at(std::string_view rest) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(rest[i]); };
  const unsigned char first = byte(0);
  if (first <= 0x20) {
    return first == 0x20 || (first >= 0x09 && first <= 0x0d) || first >= 0x1c ? 1 : 0;
  }
  if (first == 0xc2) return rest.size() > 1 && (byte(1) == 0x85 || byte(1) == 0xa0) ? 2 : 0;
  if ((first != 0xe1 && first != 0xe2 && first != 0xe3) || rest.size() < 3) return 0;
  const uint32_t code = (first & 0x0fu) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu);
  const bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
                     code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
  return space ? 3 : 0;
}

/// Calls word(text, offset) for each word of `text` and line_end(offset) for each '\n', in order.
template <class Word, class LineEnd>
void for_each_word(std::string_view text, Word&& word, LineEnd&& line_end) {
  size_t begin = 0;  // of the word that is being read
  for (size_t i = 0; i < text.size();) {
    const size_t width = whitespace_at(text.substr(i));
    if (width == 0) {
      ++i;
      continue;
    }
    if (i > begin) word(text.substr(begin, i - begin), begin);
    if (text[i] == '\n') line_end(i);
    i += width;
    begin = i;
  }
  if (text.size() > begin) word(text.substr(begin), begin);
}

/// Position of the first byte that is not UTF-8 (RFC 3629); npos if there is none.
inline size_t find_not_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) {
      ++i;
      continue;
    }
    const size_t more = first >= 0xc2 && first <= 0xdf   ? 1
                        : first >= 0xe0 && first <= 0xef ? 2
                        : first >= 0xf0 && first <= 0xf4 ? 3
                                                         : 0;
    if (more == 0 || text.size() - i <= more) return i;
    for (size_t k = 1; k <= more; ++k) {
      auto low = static_cast<unsigned char>(k == 1 && first == 0xe0   ? 0xa0
                                            : k == 1 && first == 0xf0 ? 0x90
                                                                      : 0x80);
      auto high = static_cast<unsigned char>(k == 1 && first == 0xed   ? 0x9f
                                             : k == 1 && first == 0xf4 ? 0x8f
                                                                       : 0xbf);
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if (byte < low || byte > high) return i;
    }
    i += more + 1;
  }
  return std::string_view::npos;
}

}  // namespace ssa
