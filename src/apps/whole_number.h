#pragma once

#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace ssa {

/// Checks that an option is a whole number from `least` up. The message of CLI11's own checks ends
/// with the largest double, in 309 digits.
inline CLI::Validator whole_number_from(int64_t least) {
  return {[least](std::string& text) -> std::string {
            int64_t value = 0;
            if (CLI::detail::lexical_cast(text, value) && value >= least) return {};
            return fmt::format("'{}' should be a whole number from {} up", text, least);
          },
          fmt::format("{} or more", least)};
}

}  // namespace ssa
