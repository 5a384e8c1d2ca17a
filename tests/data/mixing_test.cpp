#include "ssa/data/mixing.h"

#include <numeric>

#include "ssa/core/philox.h"
#include "ssa/data/image_transform.h"

#include "distributions.h"
#include "formula_picture.h"
#include "picture_fixture.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr int64_t kHeight = 9, kWidth = 13, kImage = 3 * kHeight * kWidth;

/// A batch of random numbers.
std::vector<float> random_images(int64_t batch) {
  const RngKey key{.seed = 3};
  std::vector<float> images(static_cast<size_t>(batch * kImage));
  for (size_t i = 0; i < images.size(); ++i) {
    images[i] = static_cast<float>(normal_from_word(key.word(i)));
  }
  return images;
}

template <class T>
std::span<T> row_of(std::vector<T>& images, int64_t row) {
  return std::span(images).subspan(static_cast<size_t>(row * kImage), static_cast<size_t>(kImage));
}

const Mix kMixup{.lambda = 0.3};
const Mix kCutmix{.lambda = 1 - 20.0 / (kHeight * kWidth), .box = Box{2, 8, 4, 5}};

}  // namespace

TEST_CASE("an odd batch is mixed in pairs, and its last image stays as it is") {
  for (const Mix& mix : {kMixup, kCutmix}) {
    const std::vector<float> before = random_images(5);
    std::vector<float> images = before;
    mix_batch(mix, 5, kHeight, kWidth, images);
    for (int64_t i = 0; i < std::ssize(images); ++i) {
      const int64_t row = i / kImage, other = partner_of(row, 5), y = i / kWidth % kHeight,
                    x = i % kWidth;
      const float own = before[static_cast<size_t>(i)];
      const float partner = before[static_cast<size_t>(other * kImage + i % kImage)];
      const bool in_box = y >= 2 && y < 6 && x >= 8;
      float expected = in_box ? partner : own;
      if (!mix.box) expected = own * 0.3F + partner * static_cast<float>(1 - 0.3);
      REQUIRE(images[static_cast<size_t>(i)] == (row == 4 ? own : expected));
    }
  }
}

TEST_CASE("an image mixed alone has the bits that it has in its batch") {
  for (const Mix& mix : {kMixup, kCutmix, Mix{}}) {
    std::vector<float> before = random_images(4), images = before;
    mix_batch(mix, 4, kHeight, kWidth, images);
    for (int64_t row = 0; row < 4; ++row) {
      const auto own = row_of(before, row), other = row_of(before, partner_of(row, 4));
      std::vector<float> alone(own.begin(), own.end());
      mix_image(mix, kHeight, kWidth, alone, other);
      CHECK(std::ranges::equal(alone, row_of(images, row)));
    }
    if (mix.lambda == 1) CHECK(images == before);
  }
}

TEST_CASE("a soft target shares the labels by lambda and smooths them") {
  std::vector<float> target(10);
  soft_target({.lambda = 0.75}, 3, 8, 0.1, target);
  for (size_t i = 0; i < target.size(); ++i) {
    const double expected = 0.01 + (i == 3 ? 0.9 * 0.75 : 0) + (i == 8 ? 0.9 * 0.25 : 0);
    CHECK(target[i] == Approx(expected));
  }
  soft_target({.lambda = 0.3}, 4, 4, 0, target);
  CHECK(target[4] == Approx(1));
  CHECK(std::accumulate(target.begin(), target.end(), 0.0) == Approx(1));
  soft_target({}, 4, 5, 0, target);
  CHECK(target[4] == 1);
  CHECK(target[5] == 0);
}

TEST_CASE("a step's mix is a pure function of seed and step") {
  const auto lambda_of = [](uint64_t seed, int64_t step) {
    return draw_mix({}, kHeight, kWidth, seed, step).lambda;
  };
  CHECK(lambda_of(5, 11) == lambda_of(5, 11));
  int64_t equal = 0;
  for (int64_t step = 0; step < 100; ++step) {
    equal +=
        lambda_of(5, step) == lambda_of(6, step) || lambda_of(5, step) == lambda_of(5, step + 1);
  }
  CHECK(equal < 20);  // CutMix has few boxes in so small a picture
}

TEST_CASE("lambda of CutMix is the area that the box leaves, wherever it is cut") {
  for (int64_t step = 0; step < 2000; ++step) {
    const Mix mix = draw_mix({.mixup_alpha = 0}, kHeight, kWidth, 1, step);
    REQUIRE(mix.box);
    const auto& [top, left, height, width] = *mix.box;
    REQUIRE((top >= 0 && left >= 0 && height >= 0 && width >= 0));
    REQUIRE((top + height <= kHeight && left + width <= kWidth));
    REQUIRE(mix.lambda == 1 - static_cast<double>(height * width) / (kHeight * kWidth));
    std::vector<float> images = random_images(2);
    mix_batch(mix, 2, kHeight, kWidth, images);  // an empty box, too
  }
}

TEST_CASE("mixing is switched by its probabilities and alphas") {
  int64_t mixed = 0;
  for (int64_t step = 0; step < 2000; ++step) {
    const auto draw = [step](const Mixing& mixing) {
      return draw_mix(mixing, kHeight, kWidth, 1, step);
    };
    mixed += draw({.probability = 0.3, .cutmix_alpha = 0}).lambda == 1 ? 0 : 1;
    CHECK_FALSE(draw({.cutmix_alpha = 0}).box);
    CHECK_FALSE(draw({.switch_probability = 0}).box);
    CHECK(draw({.switch_probability = 1}).box);
    CHECK(draw({.mixup_alpha = 0, .cutmix_alpha = 0}).lambda == 1);
    const double lambda = draw({.mixup_alpha = 0.001, .cutmix_alpha = 0}).lambda;
    CHECK((lambda >= 0 && lambda <= 1));  // not a number where both of Beta's halves vanish
  }
  CHECK(std::abs(mixed - 600) < 4 * std::sqrt(2000 * 0.3 * 0.7));
}

TEST_CASE("what cannot be mixed is refused") {
  std::vector<float> images(2 * kImage), target(3);
  CHECK_THROWS_AS(mix_batch(kMixup, 3, kHeight, kWidth, images), ShapeError);
  CHECK_THROWS_AS(mix_image(kMixup, kHeight, kWidth, row_of(images, 0), images), ShapeError);
  CHECK_THROWS_AS(soft_target({}, 3, 0, 0.1, target), ShapeError);
  CHECK_THROWS_AS(soft_target({}, 0, -1, 0.1, target), ShapeError);
  CHECK_THROWS_AS(draw_mix({.mixup_alpha = -1}, 9, 9, 1, 1), ShapeError);
  CHECK_THROWS_AS(draw_mix({}, 0, 9, 1, 1), ShapeError);
}

TEST_CASE("lambdas of mixup and CutMix are distributed as timm's") {
  const auto& expected = picture_fixture().at("distributions");
  const int64_t height = expected.at("size")[0], width = expected.at("size")[1];
  constexpr int64_t kSteps = 20000;
  std::vector<double> mixup, extreme, cutmix;
  for (int64_t step = 0; step < kSteps; ++step) {
    const Mix mix = draw_mix({}, height, width, 5, step);
    (mix.box ? cutmix : mixup).push_back(mix.lambda);
    if (!mix.box) extreme.push_back(std::abs(mix.lambda - 0.5) > 0.45 ? 1 : 0);
  }
  const auto coin = static_cast<double>(cutmix.size());
  CHECK(std::abs(coin - kSteps / 2.0) < 4 * std::sqrt(kSteps / 4.0));
  const int64_t draws = expected.at("draws");
  check_moments(mixup, expected.at("mixup").at("lambda"), draws);
  check_moments(extreme, expected.at("mixup").at("extreme"), draws);
  check_moments(cutmix, expected.at("cutmix").at("lambda"), draws);
}

TEST_CASE("mixed batches and their targets have the bits of timm") {
  constexpr int64_t kBatch = 4, kRows = 5, kColumns = 6, kClasses = 7;
  const std::array<int64_t, kBatch> labels = {2, 0, 1, 2};
  std::vector<float> images;
  for (int64_t i = 0; i < kBatch; ++i) {
    const Picture whole = formula_picture(kRows, kColumns + i);
    std::vector<float> planes(3 * kRows * kColumns);
    normalize(crop(whole, {0, i, kRows, kColumns}), {{0, 0, 0}, {1, 1, 1}}, planes);
    images.insert(images.end(), planes.begin(), planes.end());
  }
  for (const auto& one : picture_fixture().at("mixing")) {
    INFO(one.dump());
    const Mix mix{.lambda = one.at("lambda")};
    // timm pairs the first with the last; side by side they are partners here.
    constexpr std::array<size_t, kBatch> kPaired = {0, 3, 1, 2};
    const size_t values = images.size() / kBatch;
    std::vector<float> paired, mixed(images.size()), targets(kBatch * kClasses);
    for (const size_t row : kPaired) {
      const auto from = images.begin() + static_cast<std::ptrdiff_t>(row * values);
      paired.insert(paired.end(), from, from + static_cast<std::ptrdiff_t>(values));
    }
    mix_batch(mix, kBatch, kRows, kColumns, paired);
    for (size_t at = 0; at < kBatch; ++at) {
      const size_t row = kPaired[at];
      const auto other = kPaired[static_cast<size_t>(partner_of(static_cast<int64_t>(at), kBatch))];
      std::copy_n(paired.data() + at * values, values, mixed.data() + row * values);
      soft_target(mix, labels[row], labels[other], 0.1,
                  std::span(targets).subspan(row * kClasses, kClasses));
    }
    CHECK(crc_of(std::span<const float>(mixed)) == one.at("batch_crc32"));
    CHECK(crc_of(std::span<const float>(targets)) == one.at("targets_crc32"));
  }
}
