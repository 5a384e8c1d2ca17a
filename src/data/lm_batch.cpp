#include "ssa/data/lm_batch.h"

#include "ssa/core/error.h"

namespace ssa {

LmBatch lm_batch(const ByteDataset& dataset, Split split, std::span<const int64_t> starts,
                 int64_t length) {
  SSA_CHECK(length >= 1, "lm_batch: length is {}, at least 1 is needed", length);
  LmBatch batch;
  batch.sequences = static_cast<int64_t>(starts.size());
  batch.length = length;
  batch.inputs.reserve(starts.size() * static_cast<size_t>(length));
  batch.targets.reserve(starts.size() * static_cast<size_t>(length));
  std::vector<uint8_t> bytes(static_cast<size_t>(length) + 1);  // targets, and the byte before
  for (const int64_t start : starts) {
    if (start == 0) {
      bytes[0] = static_cast<uint8_t>(kStartByte);
      dataset.read(split, 0, std::span(bytes).subspan(1));
    } else {
      dataset.read(split, start - 1, bytes);
    }
    batch.inputs.insert(batch.inputs.end(), bytes.begin(), bytes.end() - 1);
    batch.targets.insert(batch.targets.end(), bytes.begin() + 1, bytes.end());
  }
  return batch;
}

}  // namespace ssa
