#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/core/error.h"

namespace ssa::testing {

/// Two lines that every valid config begins with: tests that look at line numbers start on line 3.
inline const std::string kRequired = "task: byte_lm\ndata: {path: d}\n";

/// The message that parsing ends with; empty if the config is fine.
inline std::string problem(const std::string& yaml,
                           const std::vector<std::string>& overrides = {}) {
  try {
    parse_config(yaml, "c.yaml", overrides);
  } catch (const ConfigError& error) {
    return error.code() == ExitCode::usage ? error.what() : "wrong exit code";
  }
  return {};
}

/// The same for lines that follow kRequired.
inline std::string problem_after_required(const std::string& yaml) {
  return problem(kRequired + yaml);
}

inline auto lines_in(const std::string& text) {
  return text.empty() ? 0 : std::count(text.begin(), text.end(), '\n') + 1;
}

}  // namespace ssa::testing
