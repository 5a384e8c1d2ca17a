#include "ssa/data/permutation.h"

#include <algorithm>
#include <bit>

#include "ssa/core/error.h"

namespace ssa {

int64_t permuted(int64_t index, int64_t count, const RngKey& key) {
  SSA_CHECK(index >= 0 && index < count, "permuted: {} is not below {}", index, count);
  // Never below 2 × 4 bits: with very few bits the rounds reach only some of the permutations.
  const int bits = std::bit_width(static_cast<uint64_t>(count - 1));
  const int half = std::max(4, (bits + 1) / 2);
  const uint64_t mask = (uint64_t{1} << half) - 1;
  auto value = static_cast<uint64_t>(index);
  do {
    uint64_t left = value >> half;
    uint64_t right = value & mask;
    for (int round = 0; round < kPermutationStreams; ++round) {
      const uint32_t word = key.with_stream(round).words(static_cast<uint32_t>(right))[0];
      const uint64_t mixed = left ^ (word & mask);
      left = right;
      right = mixed;
    }
    value = (left << half) | right;
  } while (value >= static_cast<uint64_t>(count));
  return static_cast<int64_t>(value);
}

EpochItem epoch_item(int64_t number, int64_t count, uint64_t seed) {
  const int64_t epoch = number / count;
  const RngKey order{
      .seed = seed, .purpose = RngPurpose::data, .step = static_cast<uint32_t>(epoch)};
  return {epoch, permuted(number % count, count, order)};
}

}  // namespace ssa
