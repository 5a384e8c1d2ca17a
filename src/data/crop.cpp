#include <algorithm>
#include <cmath>

#include "ssa/data/picture_geometry.h"

#include "picture_checks.h"

namespace ssa {

Picture crop(const Picture& picture, const Box& box) {
  require_picture("crop", picture);
  require_inside("crop", box, picture.height, picture.width);
  Picture out = blank_picture(box.height, box.width);
  for (int64_t y = 0; y < box.height; ++y) {
    const auto* row =
        picture.pixels.data() + ((box.top + y) * picture.width + box.left) * kChannels;
    std::copy_n(row, box.width * kChannels, out.pixels.data() + y * box.width * kChannels);
  }
  return out;
}

Picture center_crop(const Picture& picture, int64_t height, int64_t width) {
  SSA_CHECK(height <= picture.height && width <= picture.width,
            "center_crop: {} x {} pixels of a picture of {} x {}; resize it first", width, height,
            picture.width, picture.height);
  // rint() takes a half to the even neighbour, as Python's round() does.
  const auto margin = [](int64_t pixels) {
    return static_cast<int64_t>(std::rint(static_cast<double>(pixels) / 2));
  };
  return crop(picture,
              {margin(picture.height - height), margin(picture.width - width), height, width});
}

Picture flip(const Picture& picture) {
  require_picture("flip", picture);
  Picture out = blank_picture(picture.height, picture.width);
  for (int64_t y = 0; y < picture.height; ++y) {
    const auto* in = picture.pixels.data() + y * picture.width * kChannels;
    auto* end = out.pixels.data() + (y + 1) * picture.width * kChannels;
    for (int64_t x = 0; x < picture.width; ++x) {
      std::copy_n(in + x * kChannels, kChannels, end - (x + 1) * kChannels);
    }
  }
  return out;
}

}  // namespace ssa
