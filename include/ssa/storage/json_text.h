#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace ssa {

/// Parses JSON that may come from a damaged file. Throws CheckpointError naming `what` if it is
/// malformed or nested deeper than 64 levels: the library's writer is recursive, so a deeper value
/// could exhaust the stack later.
nlohmann::json parse_json(const std::string& text, const std::string& what);

}  // namespace ssa
