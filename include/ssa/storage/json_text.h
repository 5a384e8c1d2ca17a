#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace ssa {

/// Parses JSON that may come from a damaged file. Throws CheckpointError, which names `what`, for
/// anything malformed or nested deeper than 64 levels (the library's writer is recursive, so
/// deeper values could exhaust the stack later on).
nlohmann::json parse_json(const std::string& text, const std::string& what);

}  // namespace ssa
