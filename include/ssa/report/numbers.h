#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ssa::report {

// Numbers as text for people. A number that is missing or not finite becomes an en dash.

/// `digits` significant digits, trailing zeros kept: 1.2, 4 -> "1.200".
std::string significant(std::optional<double> value, int digits = 4);
/// 1234567 -> "1,234,567".
std::string grouped(int64_t value);
/// Rounded to a whole number: 1234567.8 -> "1,234,568"; two digits behind the point below 100.
std::string grouped_number(std::optional<double> value);
/// 2650000 -> "2.65M".
std::string with_prefix(std::optional<double> value);
/// 5000000000 -> "4.66 GiB".
std::string bytes_text(std::optional<double> bytes);
/// 0.0123 -> "12.3 ms", 5025 -> "1 h 24 min".
std::string duration_text(std::optional<double> seconds);

/// A unit for a plot. The functions choose it so that the largest value has one to four digits
/// before the point.
struct Unit {
  std::string name;
  double size = 1;  ///< in the base unit
};
Unit time_unit(double largest_seconds);
Unit flop_unit(double largest_flop);
Unit memory_unit(double largest_bytes);

/// The median; nothing for an empty list.
std::optional<double> median(std::vector<double> values);

}  // namespace ssa::report
