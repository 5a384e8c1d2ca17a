#include "ssa/storage/json_text.h"

#include "ssa/core/error.h"

namespace ssa {

nlohmann::json parse_json(const std::string& text, const std::string& what) {
  constexpr int kDeepest = 64;
  const auto check_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kDeepest) {
      throw CheckpointError("{}: the JSON is nested deeper than {} levels", what, kDeepest);
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, check_depth);
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError("{}: malformed JSON: {}", what, error.what());
  }
}

}  // namespace ssa
