#include "ssa/data/rand_augment.h"

#include <algorithm>
#include <cmath>

#include "ssa/core/error.h"
#include "ssa/data/picture_color.h"

#include "image_draws.h"

namespace ssa {

namespace {

constexpr double kMostMagnitude = 10;

}  // namespace

double rand_augment_argument(RandAugmentOp op, double magnitude, bool negative) {
  // Part by part in timm's order of operations, which decides where an integer begins.
  const double level = magnitude / kMostMagnitude;
  const double sign = negative ? -1 : 1;
  const auto whole = [](double value) { return std::trunc(value); };
  switch (op) {
    case RandAugmentOp::auto_contrast:
    case RandAugmentOp::equalize:
    case RandAugmentOp::invert:
      return 0;
    case RandAugmentOp::rotate:
      return sign * (level * 30);
    case RandAugmentOp::posterize_increasing:
      return 4 - whole(level * 4);
    case RandAugmentOp::solarize_increasing:
      return 256 - std::min(256.0, whole(level * 256));
    case RandAugmentOp::solarize_add:
      return std::min(128.0, whole(level * 110));
    case RandAugmentOp::color_increasing:
    case RandAugmentOp::contrast_increasing:
    case RandAugmentOp::brightness_increasing:
    case RandAugmentOp::sharpness_increasing:
      return std::max(0.1, 1.0 + sign * (level * 0.9));
    case RandAugmentOp::shear_x:
    case RandAugmentOp::shear_y:
      return sign * (level * 0.3);
    case RandAugmentOp::translate_x_rel:
    case RandAugmentOp::translate_y_rel:
      return sign * (level * 0.45);
  }
  throw ShapeError("rand augment: no operation {}", static_cast<int>(op));
}

std::vector<RandAugmentStep> draw_rand_augment(const RandAugment& options,
                                               const ImageVisit& visit) {
  std::vector<RandAugmentStep> steps;
  for (int64_t i = 0; i < options.operations; ++i) {
    const auto [which, whether, how_much, direction] =
        draw_words(visit, RecipePart::rand_augment, i);
    if (!happens(whether, options.probability)) continue;
    const auto op = static_cast<RandAugmentOp>(uniform_below(which, kRandAugmentOps));
    const double magnitude =
        std::clamp(options.magnitude + options.magnitude_std * normal_from_word(how_much), 0.0,
                   kMostMagnitude);
    steps.push_back({op, rand_augment_argument(op, magnitude, happens(direction, 0.5))});
  }
  return steps;
}

Picture apply(const RandAugmentStep& step, const Picture& picture, Interpolation interpolation,
              const std::array<uint8_t, 3>& fill) {
  const double argument = step.argument;
  const auto whole = static_cast<int64_t>(argument);
  const auto width = static_cast<double>(picture.width);
  const auto height = static_cast<double>(picture.height);
  const auto transformed = [&](const AffineMatrix& matrix) {
    return transform_affine(picture, matrix, interpolation, fill);
  };
  switch (step.op) {
    case RandAugmentOp::auto_contrast:
      return autocontrast(picture);
    case RandAugmentOp::equalize:
      return equalize(picture);
    case RandAugmentOp::invert:
      return invert(picture);
    case RandAugmentOp::rotate:
      return transformed(rotate(argument, picture.height, picture.width));
    case RandAugmentOp::posterize_increasing:
      return posterize(picture, whole);
    case RandAugmentOp::solarize_increasing:
      return solarize(picture, whole);
    case RandAugmentOp::solarize_add:
      return solarize_add(picture, whole);
    case RandAugmentOp::color_increasing:
      return adjust_color(picture, argument);
    case RandAugmentOp::contrast_increasing:
      return adjust_contrast(picture, argument);
    case RandAugmentOp::brightness_increasing:
      return adjust_brightness(picture, argument);
    case RandAugmentOp::sharpness_increasing:
      return adjust_sharpness(picture, argument);
    case RandAugmentOp::shear_x:
      return transformed(shear_x(argument));
    case RandAugmentOp::shear_y:
      return transformed(shear_y(argument));
    case RandAugmentOp::translate_x_rel:
      return transformed(translate_x(argument * width));
    case RandAugmentOp::translate_y_rel:
      return transformed(translate_y(argument * height));
  }
  throw ShapeError("rand augment: no operation {}", static_cast<int>(step.op));
}

}  // namespace ssa
