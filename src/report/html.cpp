#include "report/html.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace ssa::report {

namespace {

/// Bytes of the UTF-8 character that `text` starts with (RFC 3629); 0 if it is malformed.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  unsigned low = 0x80, high = 0xBF;  // of the second byte
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;  // no surrogates
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string result;
  result.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t length = character_length(text);
    const char c = text.front();
    if (length == 0 || is_control(c)) {
      result += "\uFFFD";
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else if (c == '\'') {
      result += "&#39;";
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;  // 24 bits, the missing ones 0
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t digit = 0; digit < 4; ++digit) {
      text += digit <= count ? kDigits[group >> (18 - 6 * digit) & 63u] : '=';
    }
  }
  return text;
}

std::string_view cut(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t end = limit;
  while (end > 0 && limit - end < 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return text.substr(0, end);
}

Table transposed(const Table& table) {
  Table result;
  result.numbers = table.numbers;
  result.by_run = !table.by_run;
  for (const auto& row : table.rows) {
    if (result.rows.size() < row.size()) result.rows.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) result.rows[i].push_back(row[i]);
  }
  return result;
}

std::string render(const Table& table) {
  std::string classes = table.numbers ? "numbers" : "";
  if (table.by_run) classes += classes.empty() ? "by-run" : " by-run";
  std::string html = fmt::format(R"(<div class="scroll" tabindex="0"><table{}>)",
                                 classes.empty() ? "" : fmt::format(" class=\"{}\"", classes));
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const bool set_off =
        std::find(table.set_off.begin(), table.set_off.end(), r) != table.set_off.end();
    html += set_off ? "\n<tr class=\"set-off\">" : "\n<tr>";
    for (size_t c = 0; c < table.rows[r].size(); ++c) {
      if (r == 0 || c == 0) {
        html += fmt::format(R"(<th scope="{}">{}</th>)", r == 0 ? "col" : "row", table.rows[r][c]);
      } else {
        html += fmt::format("<td>{}</td>", table.rows[r][c]);
      }
    }
    html += "</tr>";
  }
  return html + "\n</table></div>\n";
}

std::string color_class(size_t style) {
  return style == kNoStyle ? "none" : fmt::format("c{}", style % kColors);
}

std::string marker(size_t style, double x, double y, const std::string& about) {
  struct Shape {
    double left, up;  // from the centre to the start of the outline
    const char* outline;
  };
  static constexpr std::array<Shape, kMarkers> kShapes = {
      {{3.3, 0, "a3.3 3.3 0 1 0 6.6 0a3.3 3.3 0 1 0-6.6 0z"},             // circle
       {3, 3, "h6v6h-6z"},                                                // square
       {0, 4.2, "l4.1 7h-8.2z"},                                          // triangle
       {0, 4.5, "l4.5 4.5-4.5 4.5-4.5-4.5z"},                             // diamond
       {0, -4.2, "l4.1-7h-8.2z"},                                         // triangle upside down
       {1.3, 4.5, "h2.6v3.2h3.2v2.6h-3.2v3.2h-2.6v-3.2h-3.2v-2.6h3.2z"},  // plus
       {4.4, 2.6,
        "l1.8-1.8 2.6 2.6 2.6-2.6 1.8 1.8-2.6 2.6 2.6 2.6-1.8 1.8"  // cross
        "-2.6-2.6-2.6 2.6-1.8-1.8 2.6-2.6z"}}};
  const Shape& shape = kShapes[style == kNoStyle ? 0 : style % kMarkers];
  const std::string path =
      fmt::format(R"(<path class="dot {}" d="M{:.1f} {:.1f}{}")", color_class(style),
                  x - shape.left, y - shape.up, shape.outline);
  if (about.empty()) return path + "/>";
  return fmt::format("{}><title>{}</title></path>", path, escape(about));
}

}  // namespace ssa::report
