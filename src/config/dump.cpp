#include <algorithm>

#include "ssa/config/config.h"

#include "config/format_value.h"

namespace ssa {

std::string dump_config(const Config& config) {
  Config copy = config;  // fields() is not const
  FieldList fields;
  copy.fields(fields);
  std::string yaml;
  for (const Field& field : fields.all()) {
    if (!field.rule.tasks.has(config.task)) continue;
    const auto depth = static_cast<size_t>(std::count(field.path.begin(), field.path.end(), '.'));
    yaml.append(2 * depth, ' ');
    yaml += field.name();
    yaml += ':';
    if (!field.is_section()) yaml.append(" ").append(format_value(field));
    yaml += '\n';
  }
  return yaml;
}

std::vector<std::pair<std::string, std::string>> flatten_config(const Config& config) {
  Config copy = config;
  FieldList fields;
  copy.fields(fields);
  std::vector<std::pair<std::string, std::string>> leaves;
  for (const Field& field : fields.all()) {
    if (!field.rule.tasks.has(config.task)) continue;
    if (!field.is_section()) leaves.emplace_back(field.path, format_value(field));
  }
  return leaves;
}

}  // namespace ssa
