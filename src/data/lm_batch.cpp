#include "ssa/data/lm_batch.h"

#include <algorithm>
#include <vector>

#include "ssa/core/error.h"

namespace ssa {

Batch lm_batch(const TokenDataset& dataset, Split split, std::span<const int64_t> starts,
               int64_t length) {
  SSA_CHECK(length >= 1, "lm_batch: length is {}, at least 1 is needed", length);
  const auto sequences = static_cast<int64_t>(starts.size());
  std::vector<int32_t> ids, targets;
  ids.reserve(starts.size() * static_cast<size_t>(length));
  targets.reserve(ids.capacity());
  std::vector<int32_t> tokens(static_cast<size_t>(length) + 1);  // targets, and the one before
  for (const int64_t start : starts) {
    if (start == 0) {
      tokens[0] = dataset.vocabulary().start_token();
      dataset.read(split, 0, std::span(tokens).subspan(1));
    } else {
      dataset.read(split, start - 1, tokens);
    }
    ids.insert(ids.end(), tokens.begin(), tokens.end() - 1);
    targets.insert(targets.end(), tokens.begin() + 1, tokens.end());
  }
  Batch batch(sequences);
  batch.add<int32_t>(kIdsField, {sequences, length}, ids);
  batch.add<int32_t>(kTargetsField, {sequences, length}, targets);
  return batch;
}

}  // namespace ssa
