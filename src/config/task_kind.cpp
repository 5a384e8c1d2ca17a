#include "ssa/config/task_kind.h"

namespace ssa {

std::string TaskSet::names(std::string_view quote) const {
  constexpr auto kNames = choices(TaskKind{});
  std::string text;
  size_t left = 0;
  for (size_t i = 0; i < kNames.size(); ++i) left += has(static_cast<TaskKind>(i)) ? 1 : 0;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (!has(static_cast<TaskKind>(i))) continue;
    if (!text.empty()) text += left == 1 ? " or " : ", ";
    text.append(quote).append(kNames[i]).append(quote);
    --left;
  }
  return text;
}

}  // namespace ssa
