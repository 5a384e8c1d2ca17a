#pragma once

#include "ssa/config/config_check.h"

namespace ssa {

/// The rules that tie several keys together, but for those of a task.
void validate_config(ConfigCheck& check);

}  // namespace ssa
