#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "ssa/core/whole_number.h"

namespace ssa {

/// Parses JSON that may come from a damaged file. Throws CheckpointError naming `what` if it is
/// malformed or nested deeper than 64 levels: the library's writer is recursive, so a deeper value
/// could exhaust the stack later.
nlohmann::json parse_json(const std::string& text, const std::string& what);

/// A whole number that an object must have, from `least` to 2^53: whoever adds to it or multiplies
/// it should not overflow. Throws CheckpointError naming `what`, the key and its value, and
/// json::exception if there is no such key.
int64_t whole_number(const nlohmann::json& object, const std::string& key, int64_t least,
                     const std::string& what);

/// A whole number. Throws nlohmann::json::exception for anything else, and for a number that T
/// cannot hold.
template <std::integral T>
T whole_number(const nlohmann::json& value) {
  if (const std::optional<T> number = as_whole_number<T>(value)) return *number;
  throw nlohmann::json::type_error::create(302, "a whole number is expected", &value);
}

}  // namespace ssa
