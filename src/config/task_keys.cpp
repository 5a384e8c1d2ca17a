#include "config/task_keys.h"

#include <fmt/format.h>

namespace ssa {

void check_task_keys(const FieldList& fields, TaskKind task, const Origins& origins,
                     Problems& problems) {
  std::string reported = "\n";  // the start of the keys in the last section reported
  for (const Field& field : fields.all()) {
    const auto origin = origins.find(field.path);
    if (origin == origins.end() || field.rule.tasks.has(task)) continue;
    if (field.path.starts_with(reported)) continue;
    if (field.is_section()) reported = field.path + ".";
    problems.add(
        origin->second, field.path,
        fmt::format("only for task {}; this config's task is {}. Remove the {}",
                    field.rule.tasks.names(), name(task), field.is_section() ? "section" : "key"));
  }
}

}  // namespace ssa
