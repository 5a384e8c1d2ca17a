#include "ssa/models/decoder_cache.h"

#include <algorithm>

#include "ssa/models/decoder_plans.h"

namespace ssa {

ReadingPlan::ReadingPlan(const SourcePlan& plan, Device device)
    : plan_(plan), tensors_(to_tensors(plan, device)) {
  for (size_t i = 0; i < plan.targets.size(); ++i) {
    SSA_CHECK(plan.targets[i] == static_cast<int32_t>(i),
              "decoder: a plan with target {} at place {} cannot be read in order", plan.targets[i],
              i);
  }
}

std::vector<nn::PlanPart> ReadingPlan::parts(int64_t first, int64_t count) const {
  const int64_t end = first + count;
  SSA_CHECK(first >= 0 && end <= plan_.positions, "decoder: positions {} … {} of a plan of {}",
            first, end - 1, plan_.positions);
  std::vector<nn::PlanPart> parts;
  while (first < end) {
    const int64_t window = first / plan_.targets_per_window;
    const int64_t window_start = window * plan_.targets_per_window;
    const int64_t stop = std::min(end, window_start + plan_.targets_per_window);
    const auto sources = plan_.sources.begin() + window * plan_.sources_per_window;
    const int64_t visible =
        std::lower_bound(sources, sources + plan_.sources_per_window, stop) - sources;
    const auto row = [window](const Tensor& positions, int64_t from, int64_t length) {
      return positions.slice(0, window, 1).slice(1, from, length);
    };
    parts.push_back({first,
                     {row(tensors_.targets, first - window_start, stop - first),
                      row(tensors_.sources, 0, visible)}});
    first = stop;
  }
  return parts;
}

void DecoderCache::start(ReadingPlans plans) {
  SSA_CHECK(plans.size() == layers_.size(), "decoder: plans for {} layers of {}", plans.size(),
            layers_.size());
  plans_ = std::move(plans);
  for (nn::KeyValueCache& layer : layers_) layer.clear();
}

std::vector<std::vector<nn::PlanPart>> DecoderCache::parts(int64_t layer, int64_t count) const {
  SSA_CHECK(!plans_.empty(), "decoder: a cache that has no plans yet");
  std::vector<std::vector<nn::PlanPart>> parts;
  for (const ReadingPlan& plan : plans_[static_cast<size_t>(layer)]) {
    parts.push_back(plan.parts(layers_[static_cast<size_t>(layer)].length(), count));
  }
  return parts;
}

}  // namespace ssa
