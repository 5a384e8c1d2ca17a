#include "ssa/data/split_shares.h"

#include <charconv>
#include <cmath>
#include <numeric>
#include <string>

#include <fmt/format.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

[[noreturn]] void fail(std::string_view text) {
  throw ConfigError(
      "--split {}: give the percent of train, valid and test, which add up to 100, as in 90/5/5, "
      "or none (everything is train)",
      text);
}

/// Thousandths of a percent.
int64_t share_from(std::string_view percent, std::string_view text) {
  double value = 0;
  const char* const end = percent.data() + percent.size();
  const auto [stop, error] = std::from_chars(percent.data(), end, value, std::chars_format::fixed);
  if (error != std::errc() || stop != end || !(value >= 0 && value <= 100)) fail(text);
  const int64_t share = std::llround(value * 1000);
  if (std::abs(static_cast<double>(share) - value * 1000) > 1e-6) fail(text);
  return share;
}

}  // namespace

SplitShares SplitShares::from_text(std::string_view text) {
  SplitShares result;
  if (text == "none") {
    result.shares_ = {kWhole, 0, 0};
    return result;
  }
  std::string_view rest = text;
  for (size_t i = 0; i < result.shares_.size(); ++i) {
    const size_t slash = rest.find('/');
    const bool last = i + 1 == result.shares_.size();
    if (last != (slash == std::string_view::npos)) fail(text);
    result.shares_[i] = share_from(rest.substr(0, slash), text);
    if (!last) rest.remove_prefix(slash + 1);
  }
  const int64_t sum = std::accumulate(result.shares_.begin(), result.shares_.end(), int64_t{0});
  if (sum != kWhole || result.shares_[0] == 0) fail(text);
  return result;
}

std::array<TokenRange, 3> SplitShares::ranges(int64_t items, std::string_view what,
                                              std::string_view unit) const {
  std::array<TokenRange, 3> result;
  size_t last = 2;
  while (shares_[last] == 0) --last;
  int64_t begin = 0;
  for (size_t i = 0; i < result.size(); ++i) {
    // Divides first: items·share would overflow for absurd sizes.
    const int64_t size = items / kWhole * shares_[i] + items % kWhole * shares_[i] / kWhole;
    const int64_t end = i >= last ? items : begin + size;
    result[i] = {begin, end};
    if (shares_[i] > 0 && end == begin) {
      throw DataError(
          "{} has {} {}: too few to divide {} into train, valid and test. Give more, or another "
          "--split",
          what, items, unit, text());
    }
    begin = end;
  }
  return result;
}

std::string SplitShares::text() const {
  if (shares_[0] == kWhole) return "none";
  const auto percent = [&](size_t i) { return static_cast<double>(shares_[i]) / 1000; };
  return fmt::format("{}/{}/{}", percent(0), percent(1), percent(2));
}

}  // namespace ssa
