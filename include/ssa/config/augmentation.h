#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ssa {

/// Distribution augmentation (Jun et al., "Distribution Augmentation for Generative Modeling", ICML
/// 2020): pictures are changed at random, and the model is told how, so that it learns the
/// unchanged ones among others. Applied in this order.
enum class Augmentation {
  rotation,       ///< by quarter turns, clockwise
  color,          ///< an order of the channels
  transposition,  ///< rows become columns
  jigsaw          ///< an order of the four quarters
};
constexpr auto choices(Augmentation) {
  return std::to_array<std::string_view>({"rotation", "color", "transposition", "jigsaw"});
}
inline constexpr std::array kAugmentations = {Augmentation::rotation, Augmentation::color,
                                              Augmentation::transposition, Augmentation::jigsaw};

/// How many variants there are; 0 is the picture as it is.
constexpr int64_t variants(Augmentation augmentation) {
  constexpr std::array<int64_t, kAugmentations.size()> kVariants = {4, 6, 2, 24};
  return kVariants[static_cast<size_t>(augmentation)];
}

}  // namespace ssa
