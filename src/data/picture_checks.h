#pragma once

#include <string_view>

#include "ssa/core/error.h"
#include "ssa/data/picture.h"
#include "ssa/data/picture_geometry.h"

namespace ssa {

inline constexpr int64_t kChannels = 3;

/// Throws ShapeError unless the picture has pixels, as many as its size says.
inline void require_picture(std::string_view operation, const Picture& picture) {
  SSA_CHECK(picture.height > 0 && picture.width > 0 &&
                std::ssize(picture.pixels) == picture.height * picture.width * kChannels,
            "{}: {} bytes for {} x {} pixels", operation, picture.pixels.size(), picture.width,
            picture.height);
}

/// Throws ShapeError unless `box` has pixels and lies in a picture of this size.
inline void require_inside(std::string_view operation, const Box& box, int64_t height,
                           int64_t width) {
  SSA_CHECK(box.height > 0 && box.width > 0 && box.top >= 0 && box.left >= 0 &&
                box.top + box.height <= height && box.left + box.width <= width,
            "{}: {} x {} pixels from ({}, {}) of a picture of {} x {}", operation, box.width,
            box.height, box.left, box.top, width, height);
}

/// A picture of this size; the pixels are zeros.
inline Picture blank_picture(int64_t height, int64_t width) {
  return {height, width, std::vector<uint8_t>(static_cast<size_t>(height * width * kChannels))};
}

}  // namespace ssa
