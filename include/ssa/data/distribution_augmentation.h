#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ssa/config/augmentation.h"

namespace ssa {

// Distribution augmentation of pictures (ssa/config/augmentation.h).

/// The variant of each of `active`, in their order, for one visit of an image: uniform, independent
/// of each other, and a pure function of (seed, epoch, image).
std::vector<int32_t> draw_variants(std::span<const Augmentation> active, uint64_t seed,
                                   int64_t epoch, int64_t image);

/// Changes a square picture (side, side, 3) in place. Throws ShapeError for a variant that there
/// is not, for a span of another size, and for a jigsaw of a picture with an odd side.
void augment(std::span<uint8_t> pixels, int64_t side, Augmentation augmentation, int32_t variant);

}  // namespace ssa
