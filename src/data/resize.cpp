#include <algorithm>
#include <cmath>

#include "ssa/data/picture_geometry.h"

#include "picture_checks.h"

namespace ssa {

namespace {

constexpr int kFractionBits = 22;  // of a weight in fixed point: leaves 8 for the pixel, 2 spare

double triangle_filter(double x) {
  x = std::abs(x);
  return x < 1 ? 1 - x : 0;
}

/// Keys' cubic convolution with a = -1/2, in Pillow's order of operations.
double cubic_filter(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0;
}

/// The weights of one axis: output o is the sum of weights[o·stride + k] · input[first[o] + k] over
/// k < count[o].
struct AxisWeights {
  int64_t stride = 0;
  std::vector<int64_t> first{}, count{};
  std::vector<int32_t> weights{};
};

int64_t truncated(double value) { return static_cast<int64_t>(value); }

int32_t fixed_point(double weight) {
  return static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kFractionBits));
}

AxisWeights axis_weights(int64_t in, int64_t out, Interpolation interpolation) {
  const bool cubic = interpolation == Interpolation::bicubic;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0), inverse = 1.0 / filter_scale;
  const double support = (cubic ? 2.0 : 1.0) * filter_scale;
  AxisWeights axis;
  axis.stride = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  axis.weights.resize(static_cast<size_t>(axis.stride * out));
  std::vector<double> exact(static_cast<size_t>(axis.stride));
  for (int64_t o = 0; o < out; ++o) {
    const double center = (static_cast<double>(o) + 0.5) * scale;
    const auto first = std::max<int64_t>(truncated(center - support + 0.5), 0);
    const auto end = std::min<int64_t>(truncated(center + support + 0.5), in);
    double sum = 0;
    for (int64_t k = 0; k < end - first; ++k) {
      const double x = (static_cast<double>(k + first) - center + 0.5) * inverse;
      exact[static_cast<size_t>(k)] = cubic ? cubic_filter(x) : triangle_filter(x);
      sum += exact[static_cast<size_t>(k)];
    }
    for (int64_t k = 0; k < end - first; ++k) {
      axis.weights[static_cast<size_t>(o * axis.stride + k)] =
          fixed_point(exact[static_cast<size_t>(k)] / sum);
    }
    axis.first.push_back(first);
    axis.count.push_back(end - first);
  }
  return axis;
}

constexpr int32_t kHalf = 1 << (kFractionBits - 1);

uint8_t to_pixel(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

Picture resize_rows(const Picture& picture, int64_t width, Interpolation interpolation) {
  const AxisWeights axis = axis_weights(picture.width, width, interpolation);
  Picture out = blank_picture(picture.height, width);
  for (int64_t y = 0; y < picture.height; ++y) {
    const uint8_t* row = picture.pixels.data() + y * picture.width * kChannels;
    uint8_t* to = out.pixels.data() + y * width * kChannels;
    for (int64_t x = 0; x < width; ++x) {
      const auto o = static_cast<size_t>(x);
      const uint8_t* from = row + axis.first[o] * kChannels;
      const int32_t* weights = axis.weights.data() + x * axis.stride;
      int32_t red = kHalf, green = kHalf, blue = kHalf;
      for (int64_t k = 0; k < axis.count[o]; ++k, from += kChannels) {
        red += weights[k] * from[0];
        green += weights[k] * from[1];
        blue += weights[k] * from[2];
      }
      *to++ = to_pixel(red);
      *to++ = to_pixel(green);
      *to++ = to_pixel(blue);
    }
  }
  return out;
}

Picture resize_columns(const Picture& picture, int64_t height, Interpolation interpolation) {
  const AxisWeights axis = axis_weights(picture.height, height, interpolation);
  const int64_t row_values = picture.width * kChannels;
  Picture out = blank_picture(height, picture.width);
  std::vector<int32_t> sums(static_cast<size_t>(row_values));
  for (int64_t y = 0; y < height; ++y) {
    std::ranges::fill(sums, kHalf);
    const auto o = static_cast<size_t>(y);
    for (int64_t k = 0; k < axis.count[o]; ++k) {
      const int32_t weight = axis.weights[static_cast<size_t>(y * axis.stride + k)];
      const uint8_t* from = picture.pixels.data() + (axis.first[o] + k) * row_values;
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += weight * from[i];
    }
    std::ranges::transform(sums, out.pixels.begin() + y * row_values, to_pixel);
  }
  return out;
}

}  // namespace

Picture resize(const Picture& picture, int64_t height, int64_t width, Interpolation interpolation) {
  require_picture("resize", picture);
  SSA_CHECK(height > 0 && width > 0, "resize: to {} x {} pixels", width, height);
  if (width == picture.width && height == picture.height) return picture;
  if (width == picture.width) return resize_columns(picture, height, interpolation);
  Picture out = resize_rows(picture, width, interpolation);
  return height == picture.height ? out : resize_columns(out, height, interpolation);
}

}  // namespace ssa
