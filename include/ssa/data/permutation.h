#pragma once

#include <cstdint>

#include "ssa/core/philox.h"

namespace ssa {

/// Streams of the key that permuted() uses: 0 … kPermutationStreams-1.
inline constexpr int kPermutationStreams = 6;

/// Where a pseudo-random permutation of 0 … count-1 sends `index`, without a table: a run of any
/// length resumes at any sample in constant time and memory. A Feistel network whose rounds are
/// words of Philox permutes the next larger power of four; a value that lands outside is permuted
/// again until it is inside (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA
/// 2002).
int64_t permuted(int64_t index, int64_t count, const RngKey& key);

/// An item of a data set in a pass over it.
struct EpochItem {
  int64_t epoch;
  int64_t item;  ///< less than the number of items
};
/// Example `number` of a run over `count` items: each epoch has every item once, in an order of its
/// own.
EpochItem epoch_item(int64_t number, int64_t count, uint64_t seed);

}  // namespace ssa
