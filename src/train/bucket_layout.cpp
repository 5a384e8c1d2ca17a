#include "train/bucket_layout.h"

#include <algorithm>

namespace ssa {

namespace {

int64_t rounded_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

}  // namespace

std::vector<BucketLayout> lay_out_buckets(const std::vector<Parameter>& parameters, DType dtype,
                                          const DistributedConfig& config, int64_t ranks) {
  const auto element = static_cast<int64_t>(size_of(dtype));
  const int64_t aligned = 64 / element, most = config.bucket_mib * (int64_t{1} << 20) / element;
  std::vector<BucketLayout> buckets;
  for (size_t i = parameters.size(); i-- > 0;) {
    const int64_t count = parameters[i].shape.numel();
    if (buckets.empty() || buckets.back().count + count > most) buckets.emplace_back();
    BucketLayout& bucket = buckets.back();
    bucket.slots.push_back({i, bucket.count, count});
    bucket.count = rounded_up(bucket.count + count, aligned);
  }
  for (BucketLayout& bucket : buckets) {
    bucket.count = rounded_up(bucket.count, config.shard_optimizer ? aligned * ranks : aligned);
  }
  return buckets;
}

std::vector<PlacedPiece> pieces_between(const BucketLayout& bucket, int64_t begin, int64_t end) {
  std::vector<PlacedPiece> pieces;
  for (const BucketSlot& slot : bucket.slots) {
    const int64_t first = std::max(begin, slot.offset);
    const int64_t last = std::min(end, slot.offset + slot.count);
    if (first >= last) continue;
    pieces.push_back({{slot.parameter, first - slot.offset, last - slot.offset}, first});
  }
  return pieces;
}

}  // namespace ssa
