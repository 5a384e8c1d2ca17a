#include "ssa/data/image_transform.h"

#include <algorithm>
#include <cmath>

#include "image_draws.h"
#include "picture_checks.h"

namespace ssa {

namespace {

/// What comes behind the crop.
Picture augment_crop(const TrainTransform& transform, const Picture& crop,
                     const ImageVisit& visit) {
  Picture out = resize(crop, transform.size, transform.size, transform.interpolation);
  if (happens(draw_words(visit, RecipePart::flip, 0)[0], transform.flip_probability)) {
    out = flip(out);
  }
  for (const RandAugmentStep& step : draw_rand_augment(transform.rand_augment, visit)) {
    out = apply(step, out, transform.interpolation, transform.normalization.fill());
  }
  return out;
}

}  // namespace

std::array<uint8_t, 3> Normalization::fill() const {
  std::array<uint8_t, 3> color;
  std::ranges::transform(mean, color.begin(), [](float part) {
    return static_cast<uint8_t>(std::clamp(std::rint(255 * double{part}), 0.0, 255.0));
  });
  return color;
}

void normalize(const Picture& picture, const Normalization& normalization,
               std::span<float> planes) {
  require_picture("normalize", picture);
  SSA_CHECK(planes.size() == picture.pixels.size(), "normalize: {} values for {} x {} pixels",
            planes.size(), picture.width, picture.height);
  const auto pixels = static_cast<size_t>(picture.height * picture.width);
  for (size_t c = 0; c < kChannels; ++c) {
    const float mean = normalization.mean[c], stddev = normalization.stddev[c];
    SSA_CHECK(stddev > 0, "normalize: a standard deviation of {}", stddev);
    std::array<float, 256> values;
    for (size_t v = 0; v < values.size(); ++v) {
      values[v] = (static_cast<float>(v) / 255.0F - mean) / stddev;
    }
    float* plane = planes.data() + c * pixels;
    for (size_t i = 0; i < pixels; ++i) plane[i] = values[picture.pixels[i * kChannels + c]];
  }
}

Picture TrainTransform::augment(std::span<const uint8_t> file, const std::string& path,
                                const ImageVisit& visit) const {
  const Box whole = picture_box(file, path);
  const Box box = draw_random_resized_crop(crop, whole.height, whole.width, visit);
  return augment_crop(*this, decode_crop(file, box, path), visit);
}

Picture TrainTransform::augment(const Picture& picture, const ImageVisit& visit) const {
  require_picture("augment", picture);
  const Box box = draw_random_resized_crop(crop, picture.height, picture.width, visit);
  return augment_crop(*this, ssa::crop(picture, box), visit);
}

void TrainTransform::to_planes(const Picture& augmented, const ImageVisit& visit,
                               std::span<float> planes) const {
  normalize(augmented, normalization, planes);
  if (const auto box = draw_random_erasing(erasing, size, size, visit)) {
    erase(planes, size, size, *box, visit);
  }
}

Picture resize_shorter_side(const Picture& picture, int64_t side, Interpolation interpolation) {
  require_picture("resize_shorter_side", picture);
  const int64_t shorter = std::min(picture.height, picture.width);
  return resize(picture, side * picture.height / shorter, side * picture.width / shorter,
                interpolation);
}

Picture EvalTransform::crop_of(const Picture& picture) const {
  return center_crop(resize_shorter_side(picture, resize, interpolation), crop, crop);
}

void EvalTransform::apply(const Picture& picture, std::span<float> planes) const {
  normalize(crop_of(picture), normalization, planes);
}

}  // namespace ssa
