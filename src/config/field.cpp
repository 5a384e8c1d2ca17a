#include "ssa/config/field.h"

#include <algorithm>

namespace ssa {

namespace {

constexpr size_t kUsualKeys = 256;  // more than a config has

}  // namespace

std::string_view Field::name() const {
  const size_t dot = path.rfind('.');
  return std::string_view(path).substr(dot == std::string::npos ? 0 : dot + 1);
}

std::string_view Field::parent() const {
  const size_t dot = path.rfind('.');
  return std::string_view(path).substr(0, dot == std::string::npos ? 0 : dot);
}

const Field* FieldList::find(std::string_view path) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(),
                                  [&](const Field& field) { return field.path == path; });
  return found == fields_.end() ? nullptr : &*found;
}

std::vector<const Field*> FieldList::members(std::string_view section) const {
  std::vector<const Field*> found;
  for (const Field& field : fields_) {
    if (field.parent() == section) found.push_back(&field);
  }
  return found;
}

void FieldList::add(std::string_view name, FieldRef value, const Rule& rule,
                    std::string_view comment) {
  if (fields_.empty()) fields_.reserve(kUsualKeys);
  fields_.push_back({prefix_ + std::string(name), comment, rule, value, false});
  fields_.back().rule.tasks = rule.tasks & tasks_;
}

}  // namespace ssa
