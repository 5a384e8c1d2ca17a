#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "ssa/data/picture_geometry.h"

#include "picture_checks.h"

namespace ssa {

namespace {

/// Two channels, computed at once.
using Pair = double __attribute__((vector_size(16)));

/// A picture as (height, width, 2) pairs: red and green; blue and nothing.
std::vector<Pair> pairs_of(const Picture& picture) {
  std::vector<Pair> pairs;
  pairs.reserve(static_cast<size_t>(picture.height * picture.width * 2));
  for (size_t at = 0; at < picture.pixels.size(); at += kChannels) {
    const uint8_t* pixel = &picture.pixels[at];
    pairs.push_back(Pair{static_cast<double>(pixel[0]), static_cast<double>(pixel[1])});
    pairs.push_back(Pair{static_cast<double>(pixel[2]), 0});
  }
  return pairs;
}

/// The value between v[1] and v[2], `t` of the way: cubic convolution with a = -1, in Pillow's
/// order of operations.
Pair between(const std::array<Pair, 4>& v, double t) {
  const Pair p1 = v[2] - v[0];
  const Pair p2 = 2.0 * (v[0] - v[1]) + v[2] - v[3];
  const Pair p3 = v[1] - v[0] - v[2] + v[3];
  return v[1] + t * (p1 + t * (p2 + t * p3));
}

Pair between(const std::array<Pair, 2>& v, double t) { return v[0] + (v[1] - v[0]) * t; }

/// Index of the last of N taps that does not lie behind the place.
template <size_t N>
constexpr size_t kMiddle = N / 2 - 1;

/// N pixels of a row or a column around a place.
template <size_t N>
struct Taps {
  std::array<int64_t, N> at;  // beyond an edge the pixel of the edge is repeated
  double part;                // of the way between the two in the middle

  /// `place` is relative to the centre of the first of `size` pixels, at least -1/2.
  Taps(double place, int64_t size) {
    const int64_t below = static_cast<int64_t>(place) - (place < 0 ? 1 : 0);  // rounded down
    part = place - static_cast<double>(below);
    const int64_t first = below - static_cast<int64_t>(kMiddle<N>);
    for (size_t i = 0; i < N; ++i) {
      at[i] = std::clamp<int64_t>(first + static_cast<int64_t>(i), 0, size - 1);
    }
  }
};

/// Interpolates pair `half` of a pixel among N×N, first in each row. Directions in which the place
/// is the centre of a pixel need no interpolation: one of both in a shear or a translation.
template <size_t N>
Pair interpolate(const Pair* pairs, int64_t width, const Taps<N>& columns, const Taps<N>& rows,
                 int64_t half) {
  const auto in_row = [&](size_t i) {
    const Pair* row = pairs + rows.at[i] * width * 2 + half;
    if (columns.part == 0) return row[columns.at[kMiddle<N>] * 2];
    std::array<Pair, N> values;
    for (size_t j = 0; j < N; ++j) values[j] = row[columns.at[j] * 2];
    return between(values, columns.part);
  };
  if (rows.part == 0) return in_row(kMiddle<N>);
  std::array<Pair, N> values;
  for (size_t i = 0; i < N; ++i) values[i] = in_row(i);
  return between(values, rows.part);
}

uint8_t to_value(double value) { return static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)); }

template <size_t N>
void transform(const Picture& picture, const AffineMatrix& m, const std::array<uint8_t, 3>& fill,
               Picture& out) {
  const auto width = static_cast<double>(picture.width);
  const auto height = static_cast<double>(picture.height);
  const std::vector<Pair> pairs = pairs_of(picture);
  uint8_t* to = out.pixels.data();
  for (int64_t row = 0; row < picture.height; ++row) {
    const double y = static_cast<double>(row) + 0.5;
    for (int64_t column = 0; column < picture.width; ++column, to += kChannels) {
      const double x = static_cast<double>(column) + 0.5;
      const double from_x = m[0] * x + m[1] * y + m[2];
      const double from_y = m[3] * x + m[4] * y + m[5];
      if (from_x >= 0 && from_x < width && from_y >= 0 && from_y < height) {
        const Taps<N> columns(from_x - 0.5, picture.width), rows(from_y - 0.5, picture.height);
        const Pair red_green = interpolate(pairs.data(), picture.width, columns, rows, 0);
        const Pair blue = interpolate(pairs.data(), picture.width, columns, rows, 1);
        to[0] = to_value(red_green[0]);
        to[1] = to_value(red_green[1]);
        to[2] = to_value(blue[0]);
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
