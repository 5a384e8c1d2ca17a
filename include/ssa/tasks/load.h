#pragma once

#include <string>
#include <vector>

#include "ssa/config/config_check.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// load_config() with the rules of the config's task: what programs read configs with. Throws
/// ConfigError listing all problems. Opens no data.
Config load_task_config(const std::string& path, const std::vector<std::string>& overrides = {});

/// The rules of the config's task, for load_config() and parse_config().
void check_task(ConfigCheck& check, const TaskFactory& make = make_task);

}  // namespace ssa
