#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ssa/dist/communicator.h"

namespace ssa {

/// Items 0, 1, … that ranks share: rank i mod size computes item i.
struct SharedWork {
  int64_t items = 0;
  /// Computes an item's numbers.
  std::function<std::vector<double>(int64_t item)> compute;
  /// Receives the numbers of every item, on every rank, in the items' order. So sums of them have
  /// the same bits on all ranks and for any number of ranks.
  std::function<void(const std::vector<double>& numbers)> take;
  /// Called after each round of one item per rank. If it returns false on any rank, all stop.
  std::function<bool()> go_on;
};

/// Computes the items, with one gather per round. Returns false if it stopped before the last item.
/// A round that is computed when a rank learns of the stop is dropped, so that all ranks have taken
/// the same items.
bool share_work(Communicator& ranks, const SharedWork& work);

}  // namespace ssa
