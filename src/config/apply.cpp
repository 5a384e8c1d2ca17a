#include "config/apply.h"

#include <optional>

#include <fmt/format.h>

#include "config/parse_value.h"
#include "config/suggest.h"

namespace ssa {

namespace {

std::string trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kBlank) - begin + 1));
}

}  // namespace

void Applier::apply_file(const YamlNode& root, const std::string& source) {
  ++layer_;
  apply_members("", root, {source, 0, layer_});
}

void Applier::apply_override(const std::string& text) {
  ++layer_;
  const size_t equals = text.find('=');
  const std::string key = trimmed(std::string_view(text).substr(0, equals));
  const Origin origin{fmt::format("--set {}", key), 0, layer_};
  if (equals == std::string::npos || key.empty()) {
    problems_.add({fmt::format("--set {}", text), 0, layer_}, "",
                  "expected key=value, as in train.steps=100");
    return;
  }
  const YamlNodePtr value = read_yaml(text.substr(equals + 1), origin.source, false, problems_);
  if (!value) return;
  if (const Field* field = fields_.find(key)) {
    apply_value(*field, *value, origin);
  } else if (key == "include") {
    problems_.add(origin, key, "only a file can include another");
  } else {
    complain_unknown(key, origin);
  }
}

void Applier::apply_members(std::string_view section, const YamlNode& map, const Origin& origin) {
  for (const auto& entry : map.entries) {
    if (section.empty() && entry.key == "include") continue;
    const std::string path = section.empty() ? entry.key : fmt::format("{}.{}", section, entry.key);
    const Origin here{origin.source, entry.line, origin.layer};
    const Field* field = fields_.find(path);
    if (!field) {
      complain_unknown(path, here);
    } else if (entry.key.find('.') != std::string::npos) {
      problems_.add(here, path, "dotted keys are for --set; in a file, nest it under its section");
    } else {
      apply_value(*field, *entry.value, here);
    }
  }
}

void Applier::apply_value(const Field& field, const YamlNode& node, const Origin& origin) {
  origins_[field.path] = origin;
  if (field.is_section()) {
    apply_section(field, node, origin);
  } else if (const auto complaint = parse_value(node, field)) {
    problems_.add(origin, field.path, *complaint);
  }
}

void Applier::apply_section(const Field& section, const YamlNode& node, const Origin& origin) {
  switch (node.kind) {
    case YamlNode::Kind::map:
      apply_members(section.path, node, origin);
      return;
    case YamlNode::Kind::null:  // a section whose keys are all commented out
      return;
    case YamlNode::Kind::list:
    case YamlNode::Kind::scalar:
      break;
  }
  if (!section.number_sets_all) {
    problems_.add(origin, section.path,
                  fmt::format("expected a map of keys, got {}", describe(node)));
    return;
  }
  std::optional<std::string> complaint;
  for (const Field* member : fields_.members(section.path)) {
    complaint = parse_value(node, *member);
    origins_[member->path] = origin;
  }
  if (complaint) {
    problems_.add(origin, section.path,
                  fmt::format("{}; it may also be a map of keys", *complaint));
  }
}

void Applier::complain_unknown(const std::string& path, const Origin& origin) {
  problems_.add(origin, path,
                problems_.full() ? "unknown key" : unknown_key_message(fields_, path));
}

}  // namespace ssa
