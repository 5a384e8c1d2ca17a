#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssa/dist/communicator.h"
#include "ssa/train/stepper.h"

namespace ssa {

/// Which rank the others wait for, and how much of the communication backward hides.
class RankWatch {
 public:
  explicit RankWatch(const Communicator& ranks);

  void add(const std::vector<RankStep>& step);

  /// Means a step since the last call of take().
  struct Summary {
    int slowest_rank = 0;
    double slowest_seconds = 0;  ///< that it computes: forward and backward
    double median_seconds = 0;   ///< that the rank in the middle does
    double wait_seconds = 0;     ///< that a rank spends waiting for gradients, mean over ranks
    double overlap =
        1;  ///< part of the time gradients are on their way in which this rank computes
  };
  Summary take();

 private:
  const Communicator& ranks_;
  std::vector<double> compute_, waited_;  // sums by rank
  int64_t steps_ = 0;
  double busy_before_ = 0;
};

/// One rank computes longer than half of the ranks do, by a quarter at least.
bool has_straggler(const RankWatch::Summary& summary);
/// It as a line for the log: "rank 3 is slow: …".
std::string straggler_message(const RankWatch::Summary& summary);

}  // namespace ssa
