#pragma once

#include <array>
#include <cstdint>

#include "ssa/data/picture.h"

namespace ssa {

// Operations that move pixels, with the bits of Pillow 12 (PIL.Image). Pictures hold u8, (height,
// width, 3). All throw ShapeError for a picture without pixels or with another number of bytes than
// its size says.

/// How a value between pixels is found. The values of Pillow's Resampling of these names.
enum class Interpolation { bilinear, bicubic };

/// The pixels of `box`. Throws ShapeError if it is empty or leaves the picture.
Picture crop(const Picture& picture, const Box& box);

/// The middle of a picture, as torchvision's CenterCrop cuts it: an odd margin is split so that the
/// upper left part is even. Throws ShapeError if the picture is smaller.
Picture center_crop(const Picture& picture, int64_t height, int64_t width);

/// Mirrors left and right.
Picture flip(const Picture& picture);

/// Image.resize() of the whole picture: each output pixel is a weighted mean of the pixels under a
/// filter that widens when the picture shrinks (antialiasing). Rows first, then columns, with u8
/// between the passes. Pillow 13 takes columns first for some sizes, and differs there.
Picture resize(const Picture& picture, int64_t height, int64_t width, Interpolation interpolation);

/// (a, b, c, d, e, f): the output pixel (x, y) shows the input at (a·x + b·y + c, d·x + e·y + f),
/// in pixels. Centres of pixels lie at halves.
using AffineMatrix = std::array<double, 6>;

AffineMatrix shear_x(double factor);
AffineMatrix shear_y(double factor);
/// Moves the picture to the left by `pixels`.
AffineMatrix translate_x(double pixels);
/// Moves the picture up by `pixels`.
AffineMatrix translate_y(double pixels);
/// Turns a picture of this size around its middle, counter-clockwise.
AffineMatrix rotate(double degrees, int64_t height, int64_t width);

/// Image.transform(size, AFFINE, …): the size stays, and what comes from outside the picture has
/// the colour `fill`. No antialiasing; the bicubic filter is sharper here (a = -1) than in resize()
/// (a = -1/2).
Picture transform_affine(const Picture& picture, const AffineMatrix& matrix,
                         Interpolation interpolation, const std::array<uint8_t, 3>& fill);

}  // namespace ssa
