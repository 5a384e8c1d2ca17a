#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/dist/communicator.h"
#include "ssa/train/stepper.h"

namespace ssa {

/// Measures which rank the others wait for, and how much communication overlaps with computing.
class RankWatch {
 public:
  explicit RankWatch(const Communicator& ranks);

  void add(const std::vector<RankStep>& step);

  /// Means per step since the last call of take().
  struct Summary {
    int slowest_rank = 0;
    double slowest_seconds = 0;  ///< the slowest rank's time for forward and backward
    double median_seconds = 0;   ///< the median rank's time for the same
    double wait_seconds = 0;     ///< time that ranks wait for gradients, mean over ranks
    double overlap = 1;          ///< share of this rank's communication time that it computes in
  };
  Summary take();

 private:
  const Communicator& ranks_;
  std::vector<double> compute_, waited_;  // sums by rank
  int64_t steps_ = 0;
  double busy_before_ = 0;
};

/// Whether the slowest rank computes at least a quarter longer than the median rank.
bool has_straggler(const RankWatch::Summary& summary);
/// A line for the log: "rank 3 is slow: …".
std::string straggler_message(const RankWatch::Summary& summary);

}  // namespace ssa
