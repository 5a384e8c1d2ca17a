#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ssa/data/byte_dataset.h"

namespace ssa {

/// What a language model reads in front of the first byte of a split, and behind the last: '\n'.
inline constexpr int32_t kStartByte = 10;
/// Target of a position that is not scored.
inline constexpr int32_t kNoTarget = -1;

/// Sequences of a language model. The input at a position is the byte before its target, so that
/// over a split every byte, the first one included, is predicted exactly once.
struct LmBatch {
  int64_t sequences = 0;         ///< B
  int64_t length = 0;            ///< N
  std::vector<int32_t> inputs;   ///< (B, N), row-major
  std::vector<int32_t> targets;  ///< (B, N)
};

/// Sequences whose targets are bytes start … start+length-1 of the split. Throws ShapeError if one
/// runs past the split's end, DataError if the file has shrunk.
LmBatch lm_batch(const ByteDataset& dataset, Split split, std::span<const int64_t> starts,
                 int64_t length);

}  // namespace ssa
