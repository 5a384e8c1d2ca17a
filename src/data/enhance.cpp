#include <algorithm>
#include <cmath>

#include "ssa/data/picture_color.h"

#include "color_tables.h"

namespace ssa {

namespace {

float factor_of(std::string_view operation, double factor) {
  SSA_CHECK(std::isfinite(factor), "{}: the factor is {}", operation, factor);
  return static_cast<float>(factor);
}

/// `lacking` + factor · (`value` - `lacking`).
uint8_t blend(int lacking, int value, float factor) {
  const float mean = static_cast<float>(lacking) + factor * static_cast<float>(value - lacking);
  return static_cast<uint8_t>(std::clamp(mean, 0.0F, 255.0F));
}

/// Luminance by ITU-R 601, in Pillow's fixed point.
int gray(const uint8_t* pixel) {
  return (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 0x8000) >> 16;
}

/// Mean gray of the picture, rounded.
int mean_gray(const Picture& picture) {
  int64_t sum = 0;
  for (size_t at = 0; at < picture.pixels.size(); at += kChannels) sum += gray(&picture.pixels[at]);
  const auto pixels = static_cast<double>(picture.height * picture.width);
  return static_cast<int>(std::floor(static_cast<double>(sum) / pixels + 0.5));
}

}  // namespace

Picture adjust_brightness(const Picture& picture, double factor) {
  require_picture("adjust_brightness", picture);
  const float f = factor_of("adjust_brightness", factor);
  return map_colors(picture, [=](int v) { return blend(0, v, f); });
}

Picture adjust_color(const Picture& picture, double factor) {
  require_picture("adjust_color", picture);
  const float f = factor_of("adjust_color", factor);
  Picture out = blank_picture(picture.height, picture.width);
  for (size_t at = 0; at < picture.pixels.size(); at += kChannels) {
    const int lacking = gray(&picture.pixels[at]);
    for (size_t c = 0; c < kChannels; ++c) {
      out.pixels[at + c] = blend(lacking, picture.pixels[at + c], f);
    }
  }
  return out;
}

Picture adjust_contrast(const Picture& picture, double factor) {
  require_picture("adjust_contrast", picture);
  const float f = factor_of("adjust_contrast", factor);
  const int mean = mean_gray(picture);
  return map_colors(picture, [=](int v) { return blend(mean, v, f); });
}

Picture adjust_sharpness(const Picture& picture, double factor) {
  const float f = factor_of("adjust_sharpness", factor);
  Picture out = smooth(picture);
  std::ranges::transform(out.pixels, picture.pixels, out.pixels.begin(),
                         [=](uint8_t lacking, uint8_t v) { return blend(lacking, v, f); });
  return out;
}

Picture smooth(const Picture& picture) {
  require_picture("smooth", picture);
  Picture out = picture;
  constexpr float kOuter = 1.0F / 13, kMiddle = 5.0F / 13;
  const int64_t row_values = picture.width * kChannels;
  // Left, middle, right of a row; the rows from the lowest up: the order decides the last bit.
  const auto row_sum = [](const uint8_t* v, float middle) {
    return static_cast<float>(v[-kChannels]) * kOuter + static_cast<float>(v[0]) * middle +
           static_cast<float>(v[kChannels]) * kOuter;
  };
  for (int64_t y = 1; y + 1 < picture.height; ++y) {
    const uint8_t* in = picture.pixels.data() + y * row_values;
    uint8_t* to = out.pixels.data() + y * row_values;
    for (int64_t i = kChannels; i < row_values - kChannels; ++i) {
      float sum = 0.5F + row_sum(in + row_values + i, kOuter);
      sum += row_sum(in + i, kMiddle);
      sum += row_sum(in - row_values + i, kOuter);
      to[i] = static_cast<uint8_t>(std::min(sum, 255.0F));
    }
  }
  return out;
}

}  // namespace ssa
