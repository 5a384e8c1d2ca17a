#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ssa/data/lm_batch.h"

namespace ssa {

/// One sequence of a sliding-window evaluation, in positions of the split. It covers targets start
/// … start+length-1, and scores score_from … score_to-1.
struct EvalWindow {
  int64_t start = 0;
  int64_t score_from = 0;
  int64_t score_to = 0;
  bool operator==(const EvalWindow&) const = default;
};

/// Windows of `length` that advance by length - overlap. A window scores the tokens that no earlier
/// window scored, so each token of the split is scored exactly once. The last window may run past
/// the split's end. Throws ConfigError unless 0 ≤ overlap < length, DataError for an empty split.
std::vector<EvalWindow> sliding_windows(int64_t split_tokens, int64_t length, int64_t overlap);

/// Windows first … first+count-1 as a batch (count, length); targets that are not scored are
/// kNoTarget, positions outside the split have input Vocabulary::start_token(). Throws ShapeError
/// for windows that are not inside the split, DataError if the file has shrunk.
Batch window_batch(const TokenDataset& dataset, Split split, const std::vector<EvalWindow>& windows,
                   int64_t first, int64_t count, int64_t length);

}  // namespace ssa
