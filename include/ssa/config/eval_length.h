#pragma once

#include <cstdint>
#include <string_view>

#include "ssa/config/config.h"

namespace ssa {

/// How long the windows are in which a language model's evaluation scores a text.
struct EvalLength {
  int64_t tokens;
  std::string_view key;  ///< the key that says so
};

/// eval.length, or data.length where eval.length is 0.
EvalLength eval_length(const Config& config);

}  // namespace ssa
