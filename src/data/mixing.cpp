#include "ssa/data/mixing.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "image_draws.h"
#include "picture_checks.h"

namespace ssa {

namespace {

/// Word blocks of a step's mix. Block 0 has the coins and the place of the square.
Words mix_words(uint64_t seed, int64_t step, int64_t block) {
  return draw_words({.seed = seed, .epoch = step, .image = 0}, RecipePart::mixing, block);
}

/// The logarithm of a number of the gamma distribution (Marsaglia and Tsang 2000). The logarithm,
/// since a small alpha makes numbers that an f64 does not hold. `number` 0 or 1 tells the two of a
/// step apart.
double log_gamma_draw(double alpha, uint64_t seed, int64_t step, int64_t number) {
  const double d = std::max(alpha, alpha + (alpha < 1 ? 1 : 0)) - 1.0 / 3;
  for (int64_t i = 0;; ++i) {
    const Words words = mix_words(seed, step, 1 + 2 * i + number);
    const double x = normal_from_word(words[0]);
    const double root = 1 + x / std::sqrt(9 * d), v = root * root * root;
    if (v <= 0) continue;
    if (std::log(uniform_open(words[1])) > 0.5 * x * x + d - d * v + d * std::log(v)) continue;
    const double boost = alpha < 1 ? std::log(uniform_open(words[2])) / alpha : 0;
    return std::log(d * v) + boost;
  }
}

double beta_draw(double alpha, uint64_t seed, int64_t step) {
  const double x = log_gamma_draw(alpha, seed, step, 0), y = log_gamma_draw(alpha, seed, step, 1);
  return 1 / (1 + std::exp(y - x));
}

/// A square of (1-λ) of the area around a place, cut at the edges.
Box cutmix_box(double lambda, int64_t height, int64_t width, int64_t y, int64_t x) {
  const double part = std::sqrt(1 - lambda);
  const auto cut = [part](int64_t center, int64_t size) {
    const int64_t half = static_cast<int64_t>(static_cast<double>(size) * part) / 2;
    return std::pair{std::max<int64_t>(center - half, 0), std::min(center + half, size)};
  };
  const auto [top, bottom] = cut(y, height);
  const auto [left, right] = cut(x, width);
  return {top, left, bottom - top, right - left};
}

void copy_box(const Box& box, int64_t height, int64_t width, std::span<float> image,
              std::span<const float> partner) {
  for (int64_t c = 0; c < kChannels; ++c) {
    for (int64_t y = box.top; y < box.top + box.height; ++y) {
      const int64_t at = (c * height + y) * width + box.left;
      std::copy_n(partner.data() + at, box.width, image.data() + at);
    }
  }
}

}  // namespace

Mix draw_mix(const Mixing& mixing, int64_t height, int64_t width, uint64_t seed, int64_t step) {
  SSA_CHECK(height > 0 && width > 0, "mixing: pictures of {} x {} pixels", width, height);
  SSA_CHECK(mixing.mixup_alpha >= 0 && mixing.cutmix_alpha >= 0, "mixing: alphas {} and {}",
            mixing.mixup_alpha, mixing.cutmix_alpha);
  const bool mixup = mixing.mixup_alpha > 0, cutmix = mixing.cutmix_alpha > 0;
  const auto [whether, which, y, x] = mix_words(seed, step, 0);
  if (!(mixup || cutmix) || !happens(whether, mixing.probability)) return {};
  if (mixup && !(cutmix && happens(which, mixing.switch_probability))) {
    return {.lambda = beta_draw(mixing.mixup_alpha, seed, step)};
  }
  const double lambda = beta_draw(mixing.cutmix_alpha, seed, step);
  const Box box =
      cutmix_box(lambda, height, width, uniform_below(y, height), uniform_below(x, width));
  return {1 - static_cast<double>(box.area()) / static_cast<double>(height * width), box};
}

void mix_image(const Mix& mix, int64_t height, int64_t width, std::span<float> image,
               std::span<const float> partner) {
  SSA_CHECK(std::ssize(image) == kChannels * height * width && image.size() == partner.size(),
            "mix: {} and {} values for {} x {} pixels", image.size(), partner.size(), width,
            height);
  if (mix.box) return copy_box(*mix.box, height, width, image, partner);
  const auto own = static_cast<float>(mix.lambda), other = static_cast<float>(1 - mix.lambda);
  std::ranges::transform(image, partner, image.begin(),
                         [=](float a, float b) { return a * own + b * other; });
}

void mix_batch(const Mix& mix, int64_t batch, int64_t height, int64_t width,
               std::span<float> images) {
  const auto values = static_cast<size_t>(kChannels * height * width);
  SSA_CHECK(images.size() == static_cast<size_t>(batch) * values,
            "mix: {} values for {} pictures of {} x {} pixels", images.size(), batch, width,
            height);
  for (int64_t row = 0; row + 1 < batch; row += 2) {
    const auto image = images.subspan(static_cast<size_t>(row) * values, values);
    const auto partner =
        images.subspan(static_cast<size_t>(partner_of(row, batch)) * values, values);
    const std::vector<float> before(image.begin(), image.end());
    mix_image(mix, height, width, image, partner);
    mix_image(mix, height, width, partner, before);
  }
}

void soft_target(const Mix& mix, int64_t label, int64_t partner_label, double smoothing,
                 std::span<float> target) {
  const int64_t classes = std::ssize(target);
  SSA_CHECK(label >= 0 && label < classes && partner_label >= 0 && partner_label < classes,
            "soft target: labels {} and {} of {} classes", label, partner_label, classes);
  const double off = smoothing / static_cast<double>(classes), on = 1 - smoothing + off;
  const auto own = static_cast<float>(mix.lambda), other = static_cast<float>(1 - mix.lambda);
  for (int64_t i = 0; i < classes; ++i) {
    const auto smoothed = [=](int64_t of) { return static_cast<float>(i == of ? on : off); };
    target[static_cast<size_t>(i)] = smoothed(label) * own + smoothed(partner_label) * other;
  }
}

}  // namespace ssa
