#pragma once

#include <optional>
#include <string>

#include "ssa/config/field.h"

#include "config/yaml_reader.h"

namespace ssa {

/// Stores the YAML value in the member that `field` stands for. Returns what is wrong with it
/// (type, range, choice) instead of storing it, or nothing if all is well.
std::optional<std::string> parse_value(const YamlNode& node, const Field& field);

/// "whole number", "number", "true or false", "text", "list of …", "one of …".
std::string type_of(const Field& field);
/// The valid range in words ("1 to 10", "at least 0, below 1"), empty if any value is valid.
std::string range_of(const Rule& rule);
/// A number as short as it can be and still read back exactly.
std::string number_text(double value);

}  // namespace ssa
