#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "ssa/data/dataset_info.h"

namespace ssa {

/// How one text is divided into train, valid and test, in this order.
class SplitShares {
 public:
  /// 90/5/5
  SplitShares() = default;
  /// "90/5/5": percent, of up to three decimals, that add up to 100. "none": everything is train.
  /// Throws ConfigError for anything else.
  static SplitShares from_text(std::string_view text);

  /// The ranges of `items`, rounded down; what is left over belongs to the last split that has a
  /// share. `what` and `unit` name the data in errors. Throws DataError if a split with a share
  /// would be empty.
  std::array<TokenRange, 3> ranges(int64_t items, std::string_view what,
                                   std::string_view unit) const;
  /// "90/5/5", or "none"
  std::string text() const;
  bool operator==(const SplitShares&) const = default;

 private:
  static constexpr int64_t kWhole = 100'000;  // thousandths of a percent

  std::array<int64_t, 3> shares_ = {90'000, 5'000, 5'000};
};

}  // namespace ssa
