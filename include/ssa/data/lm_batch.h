#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "ssa/data/batch.h"
#include "ssa/data/token_dataset.h"

namespace ssa {

/// Target of a position that is not scored.
inline constexpr int32_t kNoTarget = -1;

// Batches of language models have two fields (B, N) i32: the input at a position is the token
// before its target, so that over a split every token, the first one included, is predicted exactly
// once.
inline constexpr const char* kIdsField = "ids";
inline constexpr const char* kTargetsField = "targets";

/// Sequences whose targets are tokens start … start+length-1 of the split. The input before the
/// split's first token is Vocabulary::start_token(). Throws ShapeError if a sequence runs past the
/// split's end, DataError if the file has shrunk.
Batch lm_batch(const TokenDataset& dataset, Split split, std::span<const int64_t> starts,
               int64_t length);

}  // namespace ssa
