#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ssa/data/image_visit.h"
#include "ssa/data/picture_geometry.h"

namespace ssa {

// RandAugment (Cubuk et al. 2020) as timm's "rand-m9-mstd0.5-inc1": a few operations on u8
// pictures, drawn with replacement from a list whose operations all grow with the magnitude.

/// In the order of timm's list, under its names in snake case.
enum class RandAugmentOp {
  auto_contrast,
  equalize,
  invert,
  rotate,
  posterize_increasing,
  solarize_increasing,
  solarize_add,
  color_increasing,
  contrast_increasing,
  brightness_increasing,
  sharpness_increasing,
  shear_x,
  shear_y,
  translate_x_rel,
  translate_y_rel
};
constexpr auto choices(RandAugmentOp) {
  return std::to_array<std::string_view>(
      {"auto_contrast", "equalize", "invert", "rotate", "posterize_increasing",
       "solarize_increasing", "solarize_add", "color_increasing", "contrast_increasing",
       "brightness_increasing", "sharpness_increasing", "shear_x", "shear_y", "translate_x_rel",
       "translate_y_rel"});
}
inline constexpr int64_t kRandAugmentOps = 15;

/// The published values.
struct RandAugment {
  int64_t operations = 2;      ///< drawn for each picture
  double probability = 0.5;    ///< that a drawn operation is applied
  double magnitude = 9;        ///< mean of the magnitudes, each cut to 0 … 10
  double magnitude_std = 0.5;  ///< their standard deviation
};

/// An operation with its argument: degrees, bits, a threshold, an addend, a factor, or a part of
/// the side; 0 where there is none.
struct RandAugmentStep {
  RandAugmentOp op;
  double argument;

  bool operator==(const RandAugmentStep&) const = default;
};

/// The argument of an operation at a magnitude in 0 … 10. `negative` turns the direction of those
/// that have one.
double rand_augment_argument(RandAugmentOp op, double magnitude, bool negative);

/// The operations of one visit, those only that are applied: often none.
std::vector<RandAugmentStep> draw_rand_augment(const RandAugment& options, const ImageVisit& visit);

/// Applies one operation. `interpolation` and `fill` are those of transform_affine(). Throws
/// ShapeError as the operation does.
Picture apply(const RandAugmentStep& step, const Picture& picture, Interpolation interpolation,
              const std::array<uint8_t, 3>& fill);

}  // namespace ssa
