#include "ssa/storage/json_text.h"

#include <cmath>

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

int64_t whole_number(const nlohmann::json& object, const std::string& key, int64_t least,
                     const std::string& what) {
  constexpr int64_t kMost = int64_t{1} << 53;
  const nlohmann::json& found = object.at(key);
  // A double holds every number of this range, and larger ones well enough to tell that they are.
  const double value = found.is_number_integer() ? found.get<double>() : -HUGE_VAL;
  if (value >= static_cast<double>(least) && value <= static_cast<double>(kMost)) {
    return found.get<int64_t>();
  }
  throw CheckpointError("{}: {} is {}; it must be a whole number from {} to {}", what, key,
                        found.dump(), least, kMost);
}

}  // namespace ssa
