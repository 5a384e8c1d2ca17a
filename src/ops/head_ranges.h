#pragma once

#include <array>

#include "ssa/ops/ops.h"

namespace ssa::ops {

/// The slot for the gradient of a range of heads.
struct RangeSlot {
  GradSlot slot;
  Shape shape;  // (B, N, G, D) of the whole tensor
  int64_t first, count;
  explicit RangeSlot(const HeadRange& range)
      : slot(range.tensor.slot()),
        shape(range.tensor.shape()),
        first(range.first),
        count(range.count) {}
};

/// The slots of query, key and value.
using AttentionSlots = std::array<RangeSlot, 3>;

/// Buffers for the gradients of three ranges. Disjoint ranges of one tensor share a buffer, since
/// one projection made them.
class RangeGradients {
 public:
  RangeGradients(const AttentionSlots& ranges, const Tensor& like) : ranges_(ranges) {
    for (size_t i = 0; i < 3; ++i) {
      const size_t first = owner(i);
      whole_[i] = first < i ? whole_[first] : make_buffer(i, like);
    }
  }
  Tensor part(size_t i) const { return whole_[i].slice(2, ranges_[i].first, ranges_[i].count); }
  void pass_on() const {
    for (size_t i = 0; i < 3; ++i) {
      if (owner(i) == i) ranges_[i].slot.accumulate(whole_[i]);
    }
  }

 private:
  bool overlap(size_t i, size_t j) const {
    return ranges_[i].first < ranges_[j].first + ranges_[j].count &&
           ranges_[j].first < ranges_[i].first + ranges_[i].count;
  }
  /// The earliest range whose buffer this one uses.
  size_t owner(size_t i) const {
    size_t found = i;
    for (size_t j = i; j-- > 0;) {
      if (!ranges_[j].slot.wanted() || ranges_[j].slot != ranges_[i].slot) continue;
      if (overlap(i, j)) return i;
      found = owner(j);
    }
    return found;
  }
  Tensor make_buffer(size_t i, const Tensor& like) const {
    int64_t covered = 0;
    for (size_t j = i; j < 3; ++j) covered += owner(j) == i ? ranges_[j].count : 0;
    const bool all = covered == ranges_[i].shape[2];
    return (all ? Tensor::empty : Tensor::zeros)(ranges_[i].shape, like.dtype(), like.device(),
                                                 MemoryCategory::activations);
  }

  const AttentionSlots& ranges_;
  std::array<Tensor, 3> whole_;
};

/// attention() with AttentionOptions::materialized. The arguments have been checked; out and lse
/// are ignored. `inputs` are the tensors whose ranges are query, key and value.
Variable materialized_attention(const AttentionArgs& args, const AttentionSlots& slots,
                                const std::vector<Variable>& inputs);

}  // namespace ssa::ops
