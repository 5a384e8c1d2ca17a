#include "ssa/report/numbers.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace ssa::report {

namespace {

constexpr const char* kMissing = "–";

bool usable(const std::optional<double>& value) { return value && std::isfinite(*value); }

/// The last unit whose size does not exceed `largest`; units are ascending.
Unit pick(const std::vector<Unit>& units, double largest) {
  Unit best = units.front();
  for (const Unit& unit : units) {
    if (largest >= unit.size) best = unit;
  }
  return best;
}

}  // namespace

std::string significant(std::optional<double> value, int digits) {
  if (!usable(value)) return kMissing;
  const double size = std::abs(*value);
  if (size == 0) return "0";
  if (size >= 1e7 || size < 1e-4) return fmt::format("{:.{}g}", *value, digits);
  const int before_point = static_cast<int>(std::floor(std::log10(size))) + 1;
  return fmt::format("{:.{}f}", *value, std::max(0, digits - before_point));
}

std::string grouped(int64_t value) {
  std::string text = fmt::format("{}", value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t i = text.size(); i > first + 3;) {
    i -= 3;
    text.insert(i, ",");
  }
  return text;
}

std::string grouped_number(std::optional<double> value) {
  if (!usable(value)) return kMissing;
  if (std::abs(*value) < 100 || std::abs(*value) > 1e15) return significant(value, 3);
  return grouped(std::llround(*value));
}

std::string with_prefix(std::optional<double> value) {
  if (!usable(value)) return kMissing;
  static const std::vector<Unit> units = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}};
  const Unit unit = pick(units, std::abs(*value));
  if (unit.size == 1) return fmt::format("{:.4g}", *value);
  return significant(*value / unit.size, 3) + unit.name;
}

std::string bytes_text(std::optional<double> bytes) {
  if (!usable(bytes)) return kMissing;
  const Unit unit = memory_unit(*bytes);
  return significant(*bytes / unit.size, 3) + " " + unit.name;
}

std::string duration_text(std::optional<double> seconds) {
  if (!usable(seconds)) return kMissing;
  if (*seconds < 1) return significant(*seconds * 1e3, 3) + " ms";
  if (*seconds < 60) return significant(*seconds, 3) + " s";
  if (*seconds > 1e12) return significant(*seconds / 86400, 3) + " d";
  const int64_t whole = std::llround(*seconds);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  const int64_t minutes = whole / 60;
  if (minutes < 48 * 60) return fmt::format("{} h {} min", minutes / 60, minutes % 60);
  return fmt::format("{} d {} h", minutes / 1440, minutes % 1440 / 60);
}

Unit time_unit(double largest_seconds) {
  static const std::vector<Unit> units = {
      {"s", 1}, {"min", 180}, {"h", 3 * 3600}, {"d", 3 * 86400}};
  Unit unit = pick(units, largest_seconds);
  if (unit.size > 1)
    unit.size /= 3;  // the list has the time from which a unit is used: three of it
  return unit;
}

Unit flop_unit(double largest_flop) {
  static const std::vector<Unit> units = {{"MFLOP", 1e6},  {"GFLOP", 1e9},  {"TFLOP", 1e12},
                                          {"PFLOP", 1e15}, {"EFLOP", 1e18}, {"ZFLOP", 1e21}};
  return pick(units, largest_flop);
}

Unit memory_unit(double largest_bytes) {
  static const std::vector<Unit> units = {
      {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  return pick(units, largest_bytes);
}

std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace ssa::report
