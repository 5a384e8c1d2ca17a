#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "ssa/data/image_visit.h"
#include "ssa/data/picture_geometry.h"
#include "ssa/data/rand_augment.h"
#include "ssa/data/random_rectangle.h"

namespace ssa {

// From a decoded picture to what an image classifier gets: three planes of f32, (3, height, width).
// The defaults are the recipe of Swin (Liu et al. 2021) on ImageNet.

/// x = (v / 255 - mean) / stddev for each channel, in f32: torchvision's ToTensor and Normalize.
/// The defaults are ImageNet's.
struct Normalization {
  std::array<float, 3> mean = {0.485F, 0.456F, 0.406F};
  std::array<float, 3> stddev = {0.229F, 0.224F, 0.225F};

  /// The mean as a colour: what comes into sight when a picture is turned or moved.
  std::array<uint8_t, 3> fill() const;
};

/// Writes the planes of a picture. Throws ShapeError if `planes` has another size, and for a
/// standard deviation that is not positive.
void normalize(const Picture& picture, const Normalization& normalization, std::span<float> planes);

/// What a picture goes through in training, in this order.
struct TrainTransform {
  int64_t size = 224;  ///< pixels a side of the result
  Interpolation interpolation = Interpolation::bicubic;
  RectangleRange crop = kRandomResizedCrop;
  double flip_probability = 0.5;
  RandAugment rand_augment = {};
  Normalization normalization = {};
  RandomErasing erasing = {};

  /// The u8 part: the picture of (size, size) before it is normalised. From a JPEG or PNG, of which
  /// only the crop is decoded; throws DataError as decode_crop() does.
  Picture augment(std::span<const uint8_t> file, const std::string& path,
                  const ImageVisit& visit) const;
  /// The same of a picture that has been decoded.
  Picture augment(const Picture& picture, const ImageVisit& visit) const;
  /// What is left to do with an augmented picture, into planes of (3, size, size). Throws
  /// ShapeError for a span of another size.
  void to_planes(const Picture& augmented, const ImageVisit& visit, std::span<float> planes) const;
};

/// Resizes so that the shorter side has `side` pixels, as torchvision's Resize(side): the longer
/// side is rounded down.
Picture resize_shorter_side(const Picture& picture, int64_t side, Interpolation interpolation);

/// What a picture goes through in evaluation.
struct EvalTransform {
  int64_t resize = 256;  ///< pixels of the shorter side; at least `crop`
  int64_t crop = 224;    ///< pixels a side of the result, from the middle
  Interpolation interpolation = Interpolation::bicubic;
  Normalization normalization = {};

  /// The picture of (crop, crop) before it is normalised.
  Picture crop_of(const Picture& picture) const;
  /// All of it, into planes of (3, crop, crop). Throws ShapeError for a span of another size.
  void apply(const Picture& picture, std::span<float> planes) const;
};

}  // namespace ssa
