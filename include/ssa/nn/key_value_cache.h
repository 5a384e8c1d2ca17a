#pragma once

#include <cstdint>
#include <vector>

#include "ssa/backend/backend.h"
#include "ssa/ops/ops.h"

namespace ssa::nn {

/// Successive positions that share a window of a plan.
struct PlanPart {
  int64_t first = 0;  ///< the first of these positions
  PlanTensors plan;   ///< targets (1, T): they; sources (1, S): the window's, as far as read
};

/// Keys and values of the positions that one attention layer has read, of B sequences, so that what
/// is read next need not compute them again. Not for training: nothing here is on the tape.
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

  /// Takes the keys and values of the next N positions, side by side: (B, N, 2H, D). Throws
  /// ShapeError if there is no room for them.
  void append(const Tensor& key_value);
  /// Causal attention of the last N positions over what has been read, logits scaled by 1/√D:
  /// query (B, N, H, D) → (B, N, H, D). `plans` has the parts that these positions have in the
  /// plan of all sequences, or in that of each. alibi_slopes (H) is optional, and so is the learned
  /// 2-D bias, which counts positions from the first that was read.
  Tensor attend(const Tensor& query, const std::vector<std::vector<PlanPart>>& plans,
                const Tensor& alibi_slopes, const ops::RelativeBias& relative = {}) const;

 private:
  Tensor pairs_;  // (B, capacity, 2H, D)
  int64_t heads_;
  int64_t length_ = 0;
};

}  // namespace ssa::nn
