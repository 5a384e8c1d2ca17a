#include "ssa/data/random_rectangle.h"

#include <algorithm>
#include <cmath>

#include "image_draws.h"
#include "picture_checks.h"

namespace ssa {

namespace {

void require_range(std::string_view operation, const RectangleRange& range, int64_t height,
                   int64_t width) {
  SSA_CHECK(height > 0 && width > 0, "{}: a picture of {} x {} pixels", operation, width, height);
  SSA_CHECK(range.min_area > 0 && range.min_area <= range.max_area && range.max_area <= 1,
            "{}: areas from {} to {} of the picture", operation, range.min_area, range.max_area);
  SSA_CHECK(range.min_ratio > 0 && range.min_ratio <= range.max_ratio,
            "{}: ratios of width and height from {} to {}", operation, range.min_ratio,
            range.max_ratio);
}

int64_t rounded(double pixels) { return static_cast<int64_t>(std::rint(pixels)); }

/// The largest part of the picture, in its middle, that has an allowed ratio.
Box largest_middle(const RectangleRange& range, int64_t height, int64_t width) {
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  Box box{0, 0, height, width};
  if (ratio < range.min_ratio) {
    box.height = rounded(static_cast<double>(width) / range.min_ratio);
  } else if (ratio > range.max_ratio) {
    box.width = rounded(static_cast<double>(height) * range.max_ratio);
  }
  box.height = std::max<int64_t>(box.height, 1);
  box.width = std::max<int64_t>(box.width, 1);
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

constexpr int64_t kTries = 10;  // as in torchvision and timm

/// One try of a rectangle in a picture of this size; none if it is empty or larger than `most`.
std::optional<Box> try_rectangle(const RectangleRange& range, int64_t height, int64_t width,
                                 const Box& most, const Words& words) {
  const double area =
      uniform(words[0], range.min_area, range.max_area) * static_cast<double>(height * width);
  const double ratio =
      std::exp(uniform(words[1], std::log(range.min_ratio), std::log(range.max_ratio)));
  Box box{0, 0, rounded(std::sqrt(area / ratio)), rounded(std::sqrt(area * ratio))};
  if (box.area() == 0 || box.height > most.height || box.width > most.width) return std::nullopt;
  box.top = uniform_below(words[2], height - box.height + 1);
  box.left = uniform_below(words[3], width - box.width + 1);
  return box;
}

}  // namespace

Box draw_random_resized_crop(const RectangleRange& range, int64_t height, int64_t width,
                             const ImageVisit& visit) {
  require_range("random resized crop", range, height, width);
  for (int64_t i = 0; i < kTries; ++i) {
    const Words words = draw_words(visit, RecipePart::crop, i);
    if (const auto box = try_rectangle(range, height, width, {0, 0, height, width}, words)) {
      return *box;
    }
  }
  return largest_middle(range, height, width);
}

std::optional<Box> draw_random_erasing(const RandomErasing& erasing, int64_t height, int64_t width,
                                       const ImageVisit& visit) {
  require_range("random erasing", erasing.range, height, width);
  if (!happens(draw_words(visit, RecipePart::erasing_place, 0)[0], erasing.probability)) {
    return std::nullopt;
  }
  const Box most{0, 0, height - 1, width - 1};
  for (int64_t i = 1; i <= kTries; ++i) {
    const Words words = draw_words(visit, RecipePart::erasing_place, i);
    if (const auto box = try_rectangle(erasing.range, height, width, most, words)) return box;
  }
  return std::nullopt;
}

void erase(std::span<float> planes, int64_t height, int64_t width, const Box& box,
           const ImageVisit& visit) {
  SSA_CHECK(std::ssize(planes) == kChannels * height * width, "erase: {} values for {} x {} pixels",
            planes.size(), width, height);
  require_inside("erase", box, height, width);
  Words words{};
  int64_t drawn = 0;
  for (int64_t c = 0; c < kChannels; ++c) {
    for (int64_t y = box.top; y < box.top + box.height; ++y) {
      float* row = planes.data() + (c * height + y) * width + box.left;
      for (int64_t x = 0; x < box.width; ++x, ++drawn) {
        if (drawn % 4 == 0) words = draw_words(visit, RecipePart::erasing_noise, drawn / 4);
        row[x] = static_cast<float>(normal_from_word(words[static_cast<size_t>(drawn % 4)]));
      }
    }
  }
}

}  // namespace ssa
