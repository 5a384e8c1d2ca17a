#pragma once

#include <cstdint>
#include <vector>

#include "ssa/nn/key_value_cache.h"
#include "ssa/sampling/source_plan.h"

namespace ssa {

/// A causal plan, read position by position.
class ReadingPlan {
 public:
  /// Throws ShapeError unless targets ascend, as in all plans over a line.
  ReadingPlan(const SourcePlan& plan, Device device);
  /// Positions first … first+count-1, window by window, with the sources up to the last of them.
  std::vector<nn::PlanPart> parts(int64_t first, int64_t count) const;

 private:
  SourcePlan plan_;  // the same on the host
  PlanTensors tensors_;
};

/// For each layer one plan for all sequences, or several for equally many successive ones each.
using ReadingPlans = std::vector<std::vector<ReadingPlan>>;

/// What a decoder keeps of the tokens that it has read: the keys and values of every layer, for one
/// sub-model, or for several that read the same text, or for several pictures.
/// DecoderLm::make_cache() makes one.
class DecoderCache {
 public:
  DecoderCache(int64_t sub_models, std::vector<nn::KeyValueCache> layers)
      : sub_models_(sub_models), layers_(std::move(layers)) {}

  /// Forgets what was read. From now on tokens attend by `plans`, which have `capacity` positions.
  void start(ReadingPlans plans);
  int64_t sub_models() const { return sub_models_; }
  /// Tokens read since start().
  int64_t length() const { return layers_.empty() ? 0 : layers_.front().length(); }
  /// The most tokens that it can hold.
  int64_t capacity() const { return layers_.empty() ? 0 : layers_.front().capacity(); }

  nn::KeyValueCache& layer(int64_t number) { return layers_[static_cast<size_t>(number)]; }
  /// The plan parts of the next `count` tokens: a list for each plan.
  std::vector<std::vector<nn::PlanPart>> parts(int64_t layer, int64_t count) const;

 private:
  int64_t sub_models_;
  std::vector<nn::KeyValueCache> layers_;
  ReadingPlans plans_;
};

}  // namespace ssa
