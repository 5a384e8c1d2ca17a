#include "config/format_value.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include <fmt/format.h>

#include "config/parse_value.h"

namespace ssa {

namespace {

/// True if any YAML reader takes the bare word for text: no number, date, boolean or null.
bool is_plain_word(const std::string& text) {
  constexpr auto kTaken = std::to_array<std::string_view>(
      {"null", "true", "false", "yes", "no", "on", "off", "y", "n"});
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (text.empty() || !(is_letter(text[0]) || text[0] == '/')) return false;
  const bool simple = std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '/';
  });
  std::string lower = text;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return simple && std::find(kTaken.begin(), kTaken.end(), lower) == kTaken.end();
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

struct Formatter {
  const Rule& rule;

  std::string operator()(std::monostate) const { return {}; }
  std::string operator()(const int64_t* value) const {
    if (*value == 0 && !rule.zero_word.empty()) return std::string(rule.zero_word);
    return fmt::format("{}", *value);
  }
  std::string operator()(const uint64_t* value) const { return fmt::format("{}", *value); }
  std::string operator()(const double* value) const { return number_text(*value); }
  std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  std::string operator()(const std::string* value) const {
    return is_plain_word(*value) ? *value : quoted(*value);
  }
  std::string operator()(const ChoiceRef& choice) const {
    return std::string(choice.names[choice.get(choice.target)]);
  }
  std::string operator()(const ChoicesRef& choices) const {
    std::string out = "[";
    for (const size_t index : choices.get(choices.target)) {
      if (out.size() > 1) out += ", ";
      out += choices.names[index];
    }
    return out + "]";
  }
  template <class T>
  std::string operator()(const std::vector<T>* values) const {
    std::string out = "[";
    for (const T& value : *values) {
      if (out.size() > 1) out += ", ";
      out += (*this)(&value);
    }
    return out + "]";
  }
};

}  // namespace

std::string format_value(const Field& field) {
  return std::visit(Formatter{field.rule}, field.value);
}

}  // namespace ssa
