#include "ssa/data/lm_batch.h"

#include "ssa/core/error.h"

namespace ssa {

LmBatch lm_batch(const TokenDataset& dataset, Split split, std::span<const int64_t> starts,
                 int64_t length) {
  SSA_CHECK(length >= 1, "lm_batch: length is {}, at least 1 is needed", length);
  LmBatch batch;
  batch.sequences = static_cast<int64_t>(starts.size());
  batch.length = length;
  batch.inputs.reserve(starts.size() * static_cast<size_t>(length));
  batch.targets.reserve(starts.size() * static_cast<size_t>(length));
  std::vector<int32_t> tokens(static_cast<size_t>(length) + 1);  // targets, and the one before
  for (const int64_t start : starts) {
    if (start == 0) {
      tokens[0] = dataset.vocabulary().start_token();
      dataset.read(split, 0, std::span(tokens).subspan(1));
    } else {
      dataset.read(split, start - 1, tokens);
    }
    batch.inputs.insert(batch.inputs.end(), tokens.begin(), tokens.end() - 1);
    batch.targets.insert(batch.targets.end(), tokens.begin() + 1, tokens.end());
  }
  return batch;
}

}  // namespace ssa
