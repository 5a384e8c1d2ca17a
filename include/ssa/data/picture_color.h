#pragma once

#include <cstdint>

#include "ssa/data/picture.h"

namespace ssa {

// Operations that change colours, with the bits of Pillow 12. Pictures hold u8, (height, width, 3).
// All throw ShapeError for a picture without pixels or with another number of bytes than its size
// says.

// PIL.ImageEnhance: a mean of the picture and one that lacks something. Factor 1 is the picture as
// it is, 0 the one that lacks it; more than 1 strengthens it. Computed in f32, cut to 0…255,
// rounded down.

/// Towards black.
Picture adjust_brightness(const Picture& picture, double factor);
/// Towards the gray picture.
Picture adjust_color(const Picture& picture, double factor);
/// Towards the mean gray of the picture in all its pixels.
Picture adjust_contrast(const Picture& picture, double factor);
/// Towards the smoothed picture.
Picture adjust_sharpness(const Picture& picture, double factor);

/// ImageFilter.SMOOTH: the mean of 3×3 pixels, in which the middle counts five times. Pixels of the
/// border stay as they are.
Picture smooth(const Picture& picture);

// PIL.ImageOps, and timm's solarize_add: a table of 256 values that is looked up for each value.

/// Stretches the values of each channel to 0…255.
Picture autocontrast(const Picture& picture);
/// Spreads the values of each channel so that all are about equally frequent.
Picture equalize(const Picture& picture);
/// 255 - v.
Picture invert(const Picture& picture);
/// Keeps the upper `bits` of a value: 0 (a black picture, as up to Pillow 12; Pillow 13 refuses it)
/// … 8. Throws ShapeError for others.
Picture posterize(const Picture& picture, int64_t bits);
/// Inverts the values from `threshold` on; 256 inverts none.
Picture solarize(const Picture& picture, int64_t threshold);
/// Adds `addend`, which must not be negative, to the values below 128, up to 255.
Picture solarize_add(const Picture& picture, int64_t addend);

}  // namespace ssa
