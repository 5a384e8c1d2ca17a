#include "ssa/train/rank_watch.h"

#include <algorithm>

#include <fmt/format.h>

namespace ssa {

RankWatch::RankWatch(const Communicator& ranks)
    : ranks_(ranks),
      compute_(static_cast<size_t>(ranks.size())),
      waited_(compute_.size()),
      busy_before_(ranks.stats().busy_seconds) {}

void RankWatch::add(const std::vector<RankStep>& step) {
  ++steps_;
  for (size_t rank = 0; rank < step.size(); ++rank) {
    compute_[rank] += step[rank].compute_seconds;
    waited_[rank] += step[rank].waited_seconds;
  }
}

RankWatch::Summary RankWatch::take() {
  Summary summary;
  const auto steps = static_cast<double>(std::max<int64_t>(1, steps_));
  const auto slowest = std::max_element(compute_.begin(), compute_.end());
  summary.slowest_rank = static_cast<int>(slowest - compute_.begin());
  summary.slowest_seconds = *slowest / steps;
  for (const double seconds : waited_) {
    summary.wait_seconds += seconds / steps / static_cast<double>(waited_.size());
  }
  const double busy = ranks_.stats().busy_seconds - busy_before_;
  const double waited = waited_[static_cast<size_t>(ranks_.rank())];
  if (busy > 0) summary.overlap = std::clamp(1 - waited / busy, 0.0, 1.0);
  std::vector<double> sorted = compute_;
  std::sort(sorted.begin(), sorted.end());
  summary.median_seconds = sorted[(sorted.size() - 1) / 2] / steps;

  steps_ = 0;
  busy_before_ += busy;
  std::fill(compute_.begin(), compute_.end(), 0.0);
  std::fill(waited_.begin(), waited_.end(), 0.0);
  return summary;
}

bool has_straggler(const RankWatch::Summary& summary) {
  constexpr double kSlow = 1.25, kSeconds = 0.01;  // smaller differences are noise
  return summary.slowest_seconds > kSlow * summary.median_seconds + kSeconds;
}

std::string straggler_message(const RankWatch::Summary& summary) {
  return fmt::format(
      "rank {} is slow: it computes {:.3f} s per step, half of the ranks at most {:.3f} s; ranks "
      "wait {:.3f} s per step for gradients",
      summary.slowest_rank, summary.slowest_seconds, summary.median_seconds, summary.wait_seconds);
}

}  // namespace ssa
