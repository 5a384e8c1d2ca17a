#pragma once

#include <cstdint>

#include "ssa/data/lm_batch.h"

namespace ssa {

/// The order in which training reads a split: a pure function of (seed, sample number), without
/// state, so that a run resumes exactly from its step number, whatever the number of ranks.
///
/// An epoch reads non-overlapping blocks of `length` tokens, each once, in an order of its own and
/// from an offset of its own in [0, length), so that blocks are cut elsewhere every time. So that
/// all epochs have the same number of blocks, whatever their offset, each leaves out less than two
/// blocks' worth of tokens at the ends. A split shorter than two blocks has one block, at 0.
class LmSampler {
 public:
  /// Throws DataError if the split is shorter than one block, ConfigError if `length` < 1.
  LmSampler(uint64_t seed, int64_t split_tokens, int64_t length);

  int64_t length() const { return length_; }
  int64_t blocks_per_epoch() const { return blocks_; }
  /// First target's position in the split. Sample numbers count over the whole run:
  /// step·batch_size + row, plus those skipped.
  int64_t start_of(int64_t sample_number) const;
  /// Samples first … first+count-1. Throws ShapeError for negative numbers, DataError if the file
  /// has shrunk.
  Batch batch(const TokenDataset& dataset, Split split, int64_t first, int64_t count) const;

 private:
  uint64_t seed_;
  int64_t length_;
  int64_t blocks_;
  bool random_offset_;
};

}  // namespace ssa
