#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ssa/dist/communicator.h"

namespace ssa {

/// Items 0, 1, … that ranks share: item i is computed by rank i mod size.
struct SharedWork {
  int64_t items = 0;
  /// One item's numbers, on the rank that has it.
  std::function<std::vector<double>(int64_t item)> compute;
  /// Gets every item's numbers, on every rank, in the items' order: what is summed from them has
  /// the same bits everywhere and for any number of ranks.
  std::function<void(const std::vector<double>& numbers)> take;
  /// Asked after each round of an item a rank; false on any rank stops all of them.
  std::function<bool()> go_on;
};

/// False if stopped before the last item. A round that has been computed when a rank learns of the
/// stop is dropped, so that all ranks have taken the same items. One gather a round.
bool share_work(Communicator& ranks, const SharedWork& work);

}  // namespace ssa
