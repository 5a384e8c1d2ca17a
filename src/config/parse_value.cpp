#include "config/parse_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ssa {

namespace {

using Complaint = std::optional<std::string>;

std::string expected(std::string_view what, const YamlNode& node) {
  return fmt::format("expected {}, got {}", what, describe(node));
}

Complaint unusable_scalar(const YamlNode& node, std::string_view what) {
  if (node.kind != YamlNode::Kind::scalar) return expected(what, node);
  if (node.quoted) {
    return fmt::format("expected {}, got the text \"{}\"; remove the quotes", what, node.text);
  }
  return {};
}

/// The whole text as a T: from_chars with a plus sign allowed.
template <class T>
std::from_chars_result read_number(std::string_view text, T& value) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc{} && result.ptr != text.data() + text.size()) {
    result.ec = std::errc::invalid_argument;
  }
  return result;
}

bool is_yaml_nonfinite(std::string_view text) {
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) text.remove_prefix(1);
  for (const std::string_view word : {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"}) {
    if (text == word) return true;
  }
  return false;
}

Complaint outside(const Rule& rule, double value, const std::string& shown) {
  if (rule.accepts(value)) return {};
  return fmt::format("{} is out of range; valid: {}", shown, range_of(rule));
}

Complaint parse(const YamlNode& node, const Rule& rule, double& target) {
  if (auto complaint = unusable_scalar(node, "a number")) return complaint;
  double value = 0.0;
  const auto [end, error] = read_number(node.text, value);
  if (is_yaml_nonfinite(node.text) || (error == std::errc{} && !std::isfinite(value))) {
    return fmt::format("{} is not a finite number", node.text);
  }
  if (error == std::errc::result_out_of_range) {
    return fmt::format("{} is too large or too small for a double", describe(node));
  }
  if (error != std::errc{}) return expected("a number", node);
  if (auto complaint = outside(rule, value, node.text)) return complaint;
  target = value;
  return {};
}

template <class T>
requires std::is_same_v<T, int64_t> || std::is_same_v<T, uint64_t> Complaint
parse(const YamlNode& node, const Rule& rule, T& target) {
  if (!rule.zero_word.empty() && node.kind == YamlNode::Kind::scalar &&
      node.text == rule.zero_word) {
    target = 0;
    return {};
  }
  constexpr std::string_view kWhat =
      std::is_signed_v<T> ? "a whole number" : "a whole number, 0 or more";
  if (auto complaint = unusable_scalar(node, kWhat)) return complaint;
  T value = 0;
  if (const auto error = read_number(node.text, value).ec; error != std::errc{}) {
    if (error == std::errc::result_out_of_range) {
      return fmt::format("{} does not fit a 64-bit integer", describe(node));
    }
    // 1e5 is how many people write a large count.
    constexpr double kExactIntegers = 9007199254740992.0;
    double real = 0.0;
    if (node.text.find_first_of("eE") == std::string::npos ||
        read_number(node.text, real).ec != std::errc{} || real != std::floor(real) ||
        std::abs(real) > kExactIntegers || (std::is_unsigned_v<T> && real < 0)) {
      return expected(kWhat, node);
    }
    value = static_cast<T>(real);
  }
  if (auto complaint = outside(rule, static_cast<double>(value), node.text)) return complaint;
  target = value;
  return {};
}

Complaint parse(const YamlNode& node, const Rule&, bool& target) {
  constexpr std::string_view kWhat = "true or false";
  if (auto complaint = unusable_scalar(node, kWhat)) return complaint;
  for (const auto& [word, value] : {std::pair<std::string_view, bool>{"true", true},
                                    {"True", true},
                                    {"TRUE", true},
                                    {"false", false},
                                    {"False", false},
                                    {"FALSE", false}}) {
    if (node.text == word) {
      target = value;
      return {};
    }
  }
  return expected(kWhat, node);
}

Complaint parse(const YamlNode& node, const Rule& rule, std::string& target) {
  if (node.kind != YamlNode::Kind::scalar) return expected("text", node);
  if (rule.is_required && node.text.empty()) return "must not be empty";
  target = node.text;
  return {};
}

/// The index of one of `names`.
Complaint parse(const YamlNode& node, std::span<const std::string_view> names, size_t& index) {
  const auto found = std::find(names.begin(), names.end(), node.text);
  if (node.kind != YamlNode::Kind::scalar || found == names.end()) {
    return expected(fmt::format("one of {}", fmt::join(names, ", ")), node);
  }
  index = static_cast<size_t>(found - names.begin());
  return {};
}

Complaint parse(const YamlNode& node, const Rule&, const ChoiceRef& choice) {
  size_t index = 0;
  if (auto complaint = parse(node, choice.names, index)) return complaint;
  choice.set(choice.target, index);
  return {};
}

Complaint parse(const YamlNode& node, const Rule&, const ChoicesRef& choices) {
  if (node.kind != YamlNode::Kind::list) {
    return expected(fmt::format("a list in brackets of {}", fmt::join(choices.names, ", ")), node);
  }
  std::vector<size_t> indices;
  for (size_t i = 0; i < node.items.size(); ++i) {
    size_t index = 0;
    auto complaint = parse(*node.items[i], choices.names, index);
    if (!complaint && std::find(indices.begin(), indices.end(), index) != indices.end()) {
      complaint = fmt::format("{} comes twice", choices.names[index]);
    }
    if (complaint) return fmt::format("item {}: {}", i + 1, *complaint);
    indices.push_back(index);
  }
  choices.set(choices.target, indices);
  return {};
}

template <class T>
Complaint parse(const YamlNode& node, const Rule& rule, std::vector<T>& target) {
  if (node.kind != YamlNode::Kind::list) {
    return expected(std::is_same_v<T, std::string> ? "a list in brackets, as in [a, \"b.*\"]"
                                                   : "a list in brackets, as in [1, 2]",
                    node);
  }
  if (rule.items > 0 && node.items.size() != rule.items) {
    return fmt::format("expected a list of {} {}, got {}", rule.items,
                       std::is_same_v<T, std::string> ? "texts" : "numbers", node.items.size());
  }
  std::vector<T> values(node.items.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (auto complaint = parse(*node.items[i], rule, values[i])) {
      return fmt::format("item {}: {}", i + 1, *complaint);
    }
  }
  target = std::move(values);
  return {};
}

std::string bound(std::string_view inclusive, std::string_view exclusive, bool excluded,
                  double value) {
  return fmt::format("{} {}", excluded ? exclusive : inclusive, number_text(value));
}

}  // namespace

Complaint parse_value(const YamlNode& node, const Field& field) {
  if (node.kind == YamlNode::Kind::null) {
    return fmt::format("no value; expected {}", type_of(field));
  }
  return std::visit(
      [&](const auto& target) -> Complaint {
        using T = std::decay_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return expected("a map of keys", node);
        } else if constexpr (std::is_same_v<T, ChoiceRef> || std::is_same_v<T, ChoicesRef>) {
          return parse(node, field.rule, target);
        } else {
          return parse(node, field.rule, *target);
        }
      },
      field.value);
}

std::string type_of(const Field& field) {
  struct Namer {
    std::string operator()(std::monostate) const { return "map"; }
    std::string operator()(int64_t*) const { return "whole number"; }
    std::string operator()(uint64_t*) const { return "whole number"; }
    std::string operator()(double*) const { return "number"; }
    std::string operator()(bool*) const { return "true or false"; }
    std::string operator()(std::string*) const { return "text"; }
    std::string operator()(std::vector<int64_t>*) const { return "list of whole numbers"; }
    std::string operator()(std::vector<double>*) const { return "list of numbers"; }
    std::string operator()(std::vector<std::string>*) const { return "list of texts"; }
    std::string operator()(const ChoiceRef& choice) const {
      return fmt::format("one of {}", fmt::join(choice.names, ", "));
    }
    std::string operator()(const ChoicesRef& choices) const {
      return fmt::format("list of {}", fmt::join(choices.names, ", "));
    }
  };
  return std::visit(Namer{}, field.value);
}

std::string range_of(const Rule& rule) {
  const bool low = std::isfinite(rule.min);
  const bool high = std::isfinite(rule.max);
  if (low && high && !rule.min_excluded && !rule.max_excluded) {
    return fmt::format("{} to {}", number_text(rule.min), number_text(rule.max));
  }
  std::string text;
  if (low) text = bound("at least", "above", rule.min_excluded, rule.min);
  if (low && high) text += ", ";
  if (high) text += bound("at most", "below", rule.max_excluded, rule.max);
  return text;
}

std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  // YAML 1.1 readers such as PyYAML take 1e-08 for text.
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) {
    text.insert(exponent, ".0");
  }
  return text;
}

}  // namespace ssa
