#pragma once

#include <cstdint>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/train/parameter_piece.h"

namespace ssa {

/// Where a parameter's elements lie in its bucket.
struct BucketSlot {
  size_t parameter = 0;  ///< its number in the store
  int64_t offset = 0;
  int64_t count = 0;
};

/// Parameters whose gradients are sent together, side by side in one flat tensor.
struct BucketLayout {
  std::vector<BucketSlot> slots;
  int64_t count = 0;  ///< elements, with gaps and padding
};

/// A piece of a parameter, and where it lies in the bucket.
struct PlacedPiece {
  ParameterPiece piece;
  int64_t offset = 0;
};

/// Puts all parameters into buckets of at most distributed.bucket_mib (or of one larger parameter),
/// in reverse order, which is roughly the order in which backward completes their gradients. Every
/// parameter is aligned to 64 bytes. The buckets of a sharded optimizer divide into `ranks` equal
/// parts with the same alignment.
std::vector<BucketLayout> lay_out_buckets(const std::vector<Parameter>& parameters, DType dtype,
                                          const DistributedConfig& config, int64_t ranks);

/// The pieces of parameters in elements begin … end-1 of a bucket.
std::vector<PlacedPiece> pieces_between(const BucketLayout& bucket, int64_t begin, int64_t end);

}  // namespace ssa
