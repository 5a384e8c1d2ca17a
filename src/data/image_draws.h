#pragma once

#include <array>
#include <cstdint>

#include "ssa/core/philox.h"
#include "ssa/data/image_visit.h"

namespace ssa {

/// What the recipe draws. Each part has random words of its own, so that a change of one leaves the
/// others alone. 0 is distribution augmentation, of the same purpose.
enum class RecipePart : uint16_t {
  crop = 1,
  flip,
  rand_augment,
  erasing_place,
  erasing_noise,
  mixing
};

using Words = std::array<uint32_t, 4>;

/// Four random words: number `block` of a part.
inline Words draw_words(const ImageVisit& visit, RecipePart part, int64_t block) {
  const RngKey key{.seed = visit.seed,
                   .purpose = RngPurpose::augmentation,
                   .step = static_cast<uint32_t>(visit.epoch),
                   .layer = static_cast<uint16_t>(part),
                   .stream = static_cast<uint32_t>(block)};
  return key.words(static_cast<uint32_t>(visit.image));
}

/// Uniform in the open interval (low, high).
inline double uniform(uint32_t word, double low, double high) {
  return low + uniform_open(word) * (high - low);
}

/// Uniform in 0 … count-1.
inline int64_t uniform_below(uint32_t word, int64_t count) {
  return static_cast<int64_t>(uint64_t{word} * static_cast<uint64_t>(count) >> 32);
}

/// True with this probability.
inline bool happens(uint32_t word, double probability) { return uniform_open(word) < probability; }

}  // namespace ssa
