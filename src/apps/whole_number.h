#pragma once

#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace ssa {

// CLI11's own checks say "not in range" of what is no number, and end with the largest double, in
// 309 digits.

/// Checks that an option is a whole number from `least` up.
inline CLI::Validator whole_number_from(int64_t least) {
  return {[least](std::string& text) -> std::string {
            int64_t value = 0;
            if (CLI::detail::lexical_cast(text, value) && value >= least) return {};
            return fmt::format("'{}' should be a whole number from {} up", text, least);
          },
          fmt::format("{} or more", least)};
}

/// The same for one from `least` to `most`.
inline CLI::Validator whole_number_between(int64_t least, int64_t most) {
  return {[least, most](std::string& text) -> std::string {
            int64_t value = 0;
            const bool is_number = CLI::detail::lexical_cast(text, value);
            if (is_number && value >= least && value <= most) return {};
            return fmt::format("'{}' should be a whole number from {} to {}", text, least, most);
          },
          fmt::format("{} to {}", least, most)};
}

}  // namespace ssa
