#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ssa/data/lm_batch.h"

namespace ssa {

/// The tokens that windows slide over: a split of a data set, or a text in memory.
struct TokenSequence {
  int64_t size = 0;
  int32_t start_token = kStartByte;  ///< what a model reads before the first token
  /// Copies tokens offset … offset+out.size()-1.
  std::function<void(int64_t offset, std::span<int32_t> out)> read;
};
TokenSequence sequence_of(const TokenDataset& dataset, Split split);
TokenSequence sequence_of(std::vector<int32_t> text, int32_t start_token);

/// One sequence of a sliding-window evaluation, in positions of the tokens. It covers targets start
/// … start+length-1, and scores score_from … score_to-1.
struct EvalWindow {
  int64_t start = 0;
  int64_t score_from = 0;
  int64_t score_to = 0;
  bool operator==(const EvalWindow&) const = default;
};

/// Windows of `length` that advance by length - overlap. A window scores the tokens that no earlier
/// window scored, so each token is scored exactly once. The last window may run past the end.
/// Throws ConfigError unless 0 ≤ overlap < length, DataError without tokens.
std::vector<EvalWindow> sliding_windows(int64_t tokens, int64_t length, int64_t overlap);

/// Windows first … first+count-1 as a batch (count, length); targets that are not scored are
/// kNoTarget, positions outside the tokens have input TokenSequence::start_token. Throws ShapeError
/// for windows that are not inside the tokens, DataError if a data set's file has shrunk.
Batch window_batch(const TokenSequence& tokens, const std::vector<EvalWindow>& windows,
                   int64_t first, int64_t count, int64_t length);

}  // namespace ssa
