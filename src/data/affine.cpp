#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "ssa/data/picture_geometry.h"

#include "picture_checks.h"

namespace ssa {

namespace {

/// The value between v[1] and v[2], `t` of the way: cubic convolution with a = -1, in Pillow's
/// order of operations.
double cubic(const std::array<double, 4>& v, double t) {
  const double p1 = v[2] - v[0];
  const double p2 = 2 * (v[0] - v[1]) + v[2] - v[3];
  const double p3 = v[1] - v[0] - v[2] + v[3];
  return v[1] + t * (p1 + t * (p2 + t * p3));
}

double linear(const std::array<double, 2>& v, double t) { return v[0] + (v[1] - v[0]) * t; }

/// Interpolates among N×N pixels around a place of a picture. Beyond an edge the pixels of the edge
/// are repeated.
template <size_t N>
class Sampler {
 public:
  /// (x, y) relative to the centre of the upper left pixel.
  Sampler(const Picture& picture, double x, double y) {
    const double column = std::floor(x), row = std::floor(y);
    across_ = x - column;
    down_ = y - row;
    const auto first_column = static_cast<int64_t>(column) - kBefore;
    const auto first_row = static_cast<int64_t>(row) - kBefore;
    for (size_t i = 0; i < N; ++i) {
      const auto at = static_cast<int64_t>(i);
      const int64_t y_at = std::clamp<int64_t>(first_row + at, 0, picture.height - 1);
      rows_[i] = picture.pixels.data() + y_at * picture.width * kChannels;
      columns_[i] = std::clamp<int64_t>(first_column + at, 0, picture.width - 1) * kChannels;
    }
  }

  uint8_t channel(int64_t c) const {
    std::array<double, N> column;
    for (size_t i = 0; i < N; ++i) {
      std::array<double, N> row;
      for (size_t j = 0; j < N; ++j) row[j] = rows_[i][columns_[j] + c];
      column[i] = between(row, across_);
    }
    return static_cast<uint8_t>(std::clamp(between(column, down_), 0.0, 255.0));
  }

 private:
  static constexpr int64_t kBefore = N / 2 - 1;  // pixels before the place

  static double between(const std::array<double, N>& values, double t) {
    if constexpr (N == 4) {
      return cubic(values, t);
    } else {
      return linear(values, t);
    }
  }

  std::array<const uint8_t*, N> rows_;
  std::array<int64_t, N> columns_;  // offsets in a row
  double across_, down_;
};

template <size_t N>
void transform(const Picture& picture, const AffineMatrix& m, const std::array<uint8_t, 3>& fill,
               Picture& out) {
  const auto width = static_cast<double>(picture.width);
  const auto height = static_cast<double>(picture.height);
  uint8_t* to = out.pixels.data();
  for (int64_t row = 0; row < picture.height; ++row) {
    const double y = static_cast<double>(row) + 0.5;
    for (int64_t column = 0; column < picture.width; ++column, to += kChannels) {
      const double x = static_cast<double>(column) + 0.5;
      const double from_x = m[0] * x + m[1] * y + m[2];
      const double from_y = m[3] * x + m[4] * y + m[5];
      if (from_x >= 0 && from_x < width && from_y >= 0 && from_y < height) {
        const Sampler<N> sampler(picture, from_x - 0.5, from_y - 0.5);
        for (int64_t c = 0; c < kChannels; ++c) to[c] = sampler.channel(c);
      } else {
        std::ranges::copy(fill, to);
      }
    }
  }
}

/// Python's round(value, 15).
double rounded(double value) {
  const std::string text = fmt::format("{:.15f}", value);
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

AffineMatrix shear_x(double factor) { return {1, factor, 0, 0, 1, 0}; }

AffineMatrix shear_y(double factor) { return {1, 0, 0, factor, 1, 0}; }

AffineMatrix translate_x(double pixels) { return {1, 0, pixels, 0, 1, 0}; }

AffineMatrix translate_y(double pixels) { return {1, 0, 0, 0, 1, pixels}; }

AffineMatrix rotate(double degrees, int64_t height, int64_t width) {
  // An angle in [0, 360) first, as in Pillow: -27.5° and 332.5° differ in the last bit.
  double turn = std::fmod(degrees, 360.0);
  if (turn < 0) turn += 360.0;
  const double angle = -turn * (std::numbers::pi / 180.0);
  const double cosine = rounded(std::cos(angle)), sine = rounded(std::sin(angle));
  const double x = static_cast<double>(width) / 2, y = static_cast<double>(height) / 2;
  return {cosine, sine,   cosine * -x + sine * -y + x,  //
          -sine,  cosine, -sine * -x + cosine * -y + y};
}

Picture transform_affine(const Picture& picture, const AffineMatrix& matrix,
                         Interpolation interpolation, const std::array<uint8_t, 3>& fill) {
  require_picture("transform_affine", picture);
  Picture out = blank_picture(picture.height, picture.width);
  if (interpolation == Interpolation::bicubic) {
    transform<4>(picture, matrix, fill, out);
  } else {
    transform<2>(picture, matrix, fill, out);
  }
  return out;
}

}  // namespace ssa
