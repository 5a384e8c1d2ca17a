#pragma once

#include <string>

#include "ssa/config/config.h"

namespace ssa {

/// The config as JSON: what dump_config() says, every key of the task, as objects inside each
/// other. Since JSON is YAML, parse_config() of it gives the same Config.
std::string config_json(const Config& config);

}  // namespace ssa
