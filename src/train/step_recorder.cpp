#include "ssa/train/step_recorder.h"

#include <algorithm>

#include <spdlog/spdlog.h>

namespace ssa {

std::vector<Tensor> StepRecorder::run(uint32_t step, const std::vector<double>& kind,
                                      const Work& work) {
  if (!enabled_ || paused_) return work();
  const auto [found, is_new] = entries_.try_emplace(kind);
  Entry& entry = found->second;
  entry.last_used = ++runs_;
  drop_unused();
  if (is_new) return work();  // first, libraries choose kernels and buffers are allocated
  const bool captured = entry.graph && entry.graph->usable();
  if (!captured && !capture(step, entry, work)) return work();
  entry.graph->replay(step);
  return entry.results;
}

void StepRecorder::drop_unused() {
  std::erase_if(entries_,
                [&](const auto& item) { return runs_ - item.second.last_used > kMostIdleSteps; });
  if (entries_.size() <= kMostKinds) return;
  entries_.erase(std::min_element(
      entries_.begin(), entries_.end(),
      [](const auto& a, const auto& b) { return a.second.last_used < b.second.last_used; }));
}

bool StepRecorder::capture(uint32_t step, Entry& entry, const Work& work) {
  entry.results.clear();
  entry.graph.reset();
  try {
    entry.graph = backend(device_).record(step, [&] { entry.results = work(); });
    enabled_ = entry.graph != nullptr;
    return enabled_;
  } catch (const OutOfMemoryError& error) {
    // Dropping the graphs frees their memory. Running this step without a graph also frees
    // buffers, so a later capture may succeed.
    entries_.clear();
    if (++times_without_room_ == kMostTimesWithoutRoom) give_up(error);
  } catch (const Error& error) {
    give_up(error);
  }
  return false;
}

void StepRecorder::give_up(const Error& error) {
  enabled_ = false;
  entries_.clear();
  spdlog::warn("kernels are launched one by one from now on (train.cuda_graphs): {}", error.what());
}

}  // namespace ssa
