#include "ssa/config/config_check.h"

#include <algorithm>

#include <fmt/format.h>

#include "config/apply.h"
#include "config/format_value.h"
#include "config/problems.h"

namespace ssa {

bool ConfigCheck::usable(Keys keys) const {
  return std::all_of(keys.begin(), keys.end(), [&](std::string_view key) {
    const Field* field = fields_.find(key);
    return field && field->rule.tasks.has(config_.task) && !problems_.has(key);
  });
}

void ConfigCheck::fail(Keys keys, const std::string& message) {
  std::string_view blamed = keys.front();
  Origin origin{file_, 0, 0};
  for (const std::string_view key : keys) {
    const auto set = origins_.find(key);
    if (set != origins_.end() && set->second.layer > origin.layer) {
      origin = set->second;
      blamed = key;
    }
  }
  problems_.add(origin, blamed, message);
}

std::string ConfigCheck::quoted(std::string_view key) const {
  const Field* field = fields_.find(key);
  return field ? fmt::format("{} {}", key, format_value(*field)) : std::string(key);
}

}  // namespace ssa
