#include "config/problems.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

constexpr size_t kMaxListed = 100;
constexpr size_t kMaxLineLength = 500;

/// One printable line of bounded length, whatever the values it quotes.
void tidy(std::string& line) {
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (line.size() <= kMaxLineLength) return;
  size_t end = kMaxLineLength;
  while ((static_cast<unsigned char>(line[end]) & 0xc0u) == 0x80u && end > 0) --end;  // UTF-8
  line = line.substr(0, end) + "…";
}

}  // namespace

void Problems::add(const Origin& origin, std::string_view key, std::string_view message) {
  keys_.emplace(key);
  if (full()) {
    ++left_out_;
    return;
  }
  std::string line = origin.source;
  if (origin.line > 0) line += fmt::format(":{}", origin.line);
  if (!key.empty() && origin.source != fmt::format("--set {}", key)) {
    line += fmt::format(": {}", key);
  }
  line += fmt::format(": {}", message);
  tidy(line);
  // A value given by several routes (an alias, a file included twice) is one mistake.
  if (std::find(lines_.begin(), lines_.end(), line) == lines_.end()) {
    lines_.push_back(std::move(line));
  }
}

bool Problems::full() const { return lines_.size() == kMaxListed; }

void Problems::throw_if_any() const {
  if (lines_.empty()) return;
  std::string text = fmt::format("{}", fmt::join(lines_, "\n"));
  if (left_out_ > 0) text += fmt::format("\nand {} more", left_out_);
  throw ConfigError("{}", text);
}

}  // namespace ssa
