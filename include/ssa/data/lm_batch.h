#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ssa/data/token_dataset.h"

namespace ssa {

/// Target of a position that is not scored.
inline constexpr int32_t kNoTarget = -1;

/// Sequences of a language model. The input at a position is the token before its target, so that
/// over a split every token, the first one included, is predicted exactly once.
struct LmBatch {
  int64_t sequences = 0;         ///< B
  int64_t length = 0;            ///< N
  std::vector<int32_t> inputs;   ///< (B, N), row-major
  std::vector<int32_t> targets;  ///< (B, N)
};

/// Sequences whose targets are tokens start … start+length-1 of the split. In front of
/// the split's first token stands Vocabulary::start_token(). Throws ShapeError if a sequence runs
/// past the split's end, DataError if the file has shrunk.
LmBatch lm_batch(const TokenDataset& dataset, Split split, std::span<const int64_t> starts,
                 int64_t length);

}  // namespace ssa
