#pragma once

#include <string>

#include "ssa/config/field.h"

namespace ssa {

/// The member's value in YAML, on one line: what parse_value() reads back exactly.
std::string format_value(const Field& field);

}  // namespace ssa
