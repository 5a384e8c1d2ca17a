#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "ssa/data/image_visit.h"
#include "ssa/data/picture_geometry.h"

namespace ssa {

/// The size of a random rectangle, which lies anywhere in the picture.
struct RectangleRange {
  double min_area = 0, max_area = 1;    ///< parts of the picture's area, drawn uniformly
  double min_ratio = 1, max_ratio = 1;  ///< width / height, drawn uniformly on a log scale
};

/// The published values of torchvision's and timm's RandomResizedCrop.
inline constexpr RectangleRange kRandomResizedCrop = {0.08, 1, 3.0 / 4, 4.0 / 3};

/// The part of a picture that RandomResizedCrop shows. After ten rectangles that do not fit, the
/// largest middle part with an allowed ratio. Throws ShapeError for an empty picture, and for a
/// range that is empty or not positive.
Box draw_random_resized_crop(const RectangleRange& range, int64_t height, int64_t width,
                             const ImageVisit& visit);

/// Random erasing (Zhong et al. 2017) as in timm's mode "pixel", which works on normalised
/// pictures.
struct RandomErasing {
  double probability = 0.25;
  RectangleRange range = {0.02, 1.0 / 3, 0.3, 1 / 0.3};
};

/// The rectangle to erase, smaller than the picture in both directions; none if the picture stays
/// as it is. Throws ShapeError as draw_random_resized_crop() does.
std::optional<Box> draw_random_erasing(const RandomErasing& erasing, int64_t height, int64_t width,
                                       const ImageVisit& visit);

/// Fills `box` of `planes` (3, height, width) with standard normal noise, independent for each
/// pixel and channel. Throws ShapeError if the box leaves the picture or the span has another size.
void erase(std::span<float> planes, int64_t height, int64_t width, const Box& box,
           const ImageVisit& visit);

}  // namespace ssa
