#pragma once

#include <cstdint>
#include <vector>

#include "ssa/backend/backend.h"
#include "ssa/ops/ops.h"

namespace ssa::nn {

/// Successive positions that share a window of a plan.
struct PlanPart {
  int64_t first = 0;  ///< the first of these positions
  PlanTensors plan;   ///< targets (1, T): these; sources (1, S): the window's, as far as read
};

/// The keys and values of the positions that an attention layer has read, for B sequences, so that
/// they are not computed again for later positions. For inference only: nothing is on the tape.
class KeyValueCache {
 public:
  /// Room for `capacity` positions of B sequences, 2·B·capacity·H·D elements of `dtype`.
  KeyValueCache(int64_t batch, int64_t capacity, int64_t heads, int64_t head_size, DType dtype,
                Device device);
  int64_t batch() const { return pairs_.dim(0); }
  int64_t capacity() const { return pairs_.dim(1); }
  /// Positions read so far.
  int64_t length() const { return length_; }
  void clear() { length_ = 0; }

  /// Appends the keys and values of the next N positions, side by side: (B, N, 2H, D). Throws
  /// ShapeError if they exceed the capacity.
  void append(const Tensor& key_value);
  /// Causal attention of the last N positions over all that were read, with logits scaled by 1/√D:
  /// query (B, N, H, D) → (B, N, H, D). `plans` has these positions' parts of one or more plans,
  /// each for equally many successive sequences. alibi_slopes (H) is optional, and so is the
  /// learned 2-D bias, which counts positions from the first that was read.
  Tensor attend(const Tensor& query, const std::vector<std::vector<PlanPart>>& plans,
                const Tensor& alibi_slopes, const ops::RelativeBias& relative = {}) const;

 private:
  Tensor pairs_;  // (B, capacity, 2H, D)
  int64_t heads_;
  int64_t length_ = 0;
};

}  // namespace ssa::nn
