#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ssa/core/philox.h"

namespace ssa {

/// Distribution augmentation (Jun et al., "Distribution Augmentation for Generative Modeling", ICML
/// 2020): pictures are changed at random, and the model is told how, so that it learns the
/// unchanged ones among others. Applied in this order.
enum class Augmentation {
  rotation,       ///< by quarter turns, clockwise: 4
  color,          ///< an order of the channels: 6
  transposition,  ///< rows become columns: 2
  jigsaw          ///< an order of the four quarters: 24
};
inline constexpr std::array kAugmentations = {Augmentation::rotation, Augmentation::color,
                                              Augmentation::transposition, Augmentation::jigsaw};

/// How many variants there are; 0 is the picture as it is.
int64_t variants(Augmentation augmentation);

/// The variant of each of `active`, in their order, for one visit of an image: uniform, independent
/// of each other, and a pure function of (seed, epoch, image).
std::vector<int32_t> draw_variants(std::span<const Augmentation> active, uint64_t seed,
                                   int64_t epoch, int64_t image);

/// Changes a square picture (side, side, 3) in place. Throws ShapeError for a variant that there
/// is not, for a span of another size, and for a jigsaw of a picture with an odd side.
void augment(std::span<uint8_t> pixels, int64_t side, Augmentation augmentation, int32_t variant);

}  // namespace ssa
