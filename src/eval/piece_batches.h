#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "ssa/data/batch.h"
#include "ssa/data/read_ahead.h"

namespace ssa {

/// The batches that a rank's pieces of shared work are computed from, up to two of them read while
/// pieces of one before are being computed. Pieces that follow each other and are of one batch,
/// such as the sub-models of an ensemble on the same items, read it once.
class PieceBatches {
 public:
  /// `read(number)` reads batch `number`, on another thread. The rank's pieces are `rank`,
  /// `rank` + `ranks`, … below `pieces`; piece i is of batch i / `pieces_per_batch`.
  PieceBatches(std::function<Batch(int64_t number)> read, int64_t pieces, int64_t pieces_per_batch,
               int64_t rank, int64_t ranks);

  /// The batch of a piece. Pieces are asked for in their order, none is left out. Throws what
  /// reading threw.
  const Batch& of(int64_t piece);

 private:
  const int64_t pieces_per_batch_;
  const std::vector<int64_t> numbers_;  // of the batches that are needed, in order
  size_t taken_ = 0;
  std::optional<Batch> batch_;  // the last of those taken
  ReadAhead<Batch> coming_;
};

}  // namespace ssa
