#include "ssa/data/lm_sampler.h"

#include <limits>
#include <vector>

#include "ssa/core/error.h"
#include "ssa/core/philox.h"
#include "ssa/data/permutation.h"

namespace ssa {

namespace {

constexpr int kOffsetStream = 0xff;  // the epoch's offset

}  // namespace

LmSampler::LmSampler(uint64_t seed, int64_t split_tokens, int64_t length)
    : seed_(seed), length_(length) {
  if (length < 1) throw ConfigError("data.length is {}, at least 1 is needed", length);
  if (split_tokens < length) {
    throw DataError(
        "the split has {} tokens, fewer than one sequence of data.length = {}. Lower data.length "
        "or use a larger data set.",
        split_tokens, length);
  }
  random_offset_ = split_tokens / 2 >= length;
  blocks_ = random_offset_ ? (split_tokens - length + 1) / length : 1;
}

int64_t LmSampler::start_of(int64_t sample_number) const {
  SSA_CHECK(sample_number >= 0, "LmSampler: sample number {} is negative", sample_number);
  const int64_t epoch = sample_number / blocks_;
  SSA_CHECK(epoch <= std::numeric_limits<uint32_t>::max(),
            "LmSampler: sample {} is past epoch 2^32", sample_number);
  const RngKey key{
      .seed = seed_, .purpose = RngPurpose::data, .step = static_cast<uint32_t>(epoch)};
  int64_t offset = 0;
  if (random_offset_) {
    const auto words = key.with_stream(kOffsetStream).words(0);
    const uint64_t random = (uint64_t{words[0]} << 32) | words[1];
    offset = static_cast<int64_t>(random % static_cast<uint64_t>(length_));
  }
  return offset + permuted(sample_number % blocks_, blocks_, key) * length_;
}

Batch LmSampler::batch(const TokenDataset& dataset, Split split, int64_t first,
                       int64_t count) const {
  SSA_CHECK(first >= 0 && count >= 0, "LmSampler: there are no samples {} … {}", first,
            first + count - 1);
  std::vector<int64_t> starts;
  for (int64_t number = first; number < first + count; ++number) {
    starts.push_back(start_of(number));
  }
  return lm_batch(dataset, split, starts, length_);
}

}  // namespace ssa
