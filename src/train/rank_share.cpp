#include "ssa/train/rank_share.h"

#include <algorithm>
#include <vector>

#include <fmt/ranges.h>

#include "ssa/core/error.h"
#include "ssa/tasks/metric.h"

namespace ssa {

int64_t share_of_rank(const Config& config, int64_t ranks) {
  const int64_t batch = config.train.batch_size;
  if (batch % ranks == 0) return batch / ranks;
  std::vector<int64_t> possible;
  for (int64_t n = 1; n <= std::min<int64_t>(batch, 4096); ++n) {
    if (batch % n == 0) possible.push_back(n);
  }
  throw ConfigError(
      "train.batch_size: {} ranks cannot share {} {} evenly; numbers of ranks that can: {}. Or "
      "change train.batch_size",
      ranks, batch, traits_of(config.task).examples, fmt::join(possible, ", "));
}

}  // namespace ssa
