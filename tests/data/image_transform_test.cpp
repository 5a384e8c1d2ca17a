#include "ssa/data/image_transform.h"

#include <cmath>
#include <functional>

#include "distributions.h"
#include "formula_picture.h"
#include "picture_fixture.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

// What the recipe of training draws: its distribution, and that it depends on seed, epoch and image
// alone. Seeds are fixed, so that a test passes always or never.

namespace {

constexpr int64_t kDraws = 20000;

ImageVisit visit_of(int64_t image) { return {.seed = 5, .epoch = 2, .image = image}; }

/// One number of each of the boxes.
std::vector<double> of(const std::vector<Box>& boxes, const std::function<int64_t(const Box&)>& f) {
  std::vector<double> numbers;
  for (const Box& box : boxes) numbers.push_back(static_cast<double>(f(box)));
  return numbers;
}

}  // namespace

TEST_CASE("random resized crops are distributed as timm's") {
  const auto& expected = picture_fixture().at("distributions");
  const int64_t height = expected.at("size")[0], width = expected.at("size")[1];
  std::vector<Box> boxes;
  for (int64_t i = 0; i < kDraws; ++i) {
    boxes.push_back(draw_random_resized_crop(kRandomResizedCrop, height, width, visit_of(i)));
    const Box& box = boxes.back();
    REQUIRE((box.top >= 0 && box.left >= 0 && box.area() > 0));
    REQUIRE((box.top + box.height <= height && box.left + box.width <= width));
  }
  const auto& moments = expected.at("crop");
  const int64_t draws = expected.at("draws");
  check_moments(of(boxes, [](const Box& box) { return box.top; }), moments.at("top"), draws);
  check_moments(of(boxes, [](const Box& box) { return box.left; }), moments.at("left"), draws);
  check_moments(of(boxes, [](const Box& box) { return box.height; }), moments.at("height"), draws);
  check_moments(of(boxes, [](const Box& box) { return box.width; }), moments.at("width"), draws);
  check_moments(of(boxes, &Box::area), moments.at("area"), draws);
}

TEST_CASE("area, ratio and place of random crops are uniform where all of them fit") {
  constexpr RectangleRange kFits = {0.1, 0.5, 3.0 / 4, 4.0 / 3};
  constexpr int64_t kSide = 4000;  // pixels, so many that rounding does not show
  std::vector<double> areas, ratios, tops, lefts;
  for (int64_t i = 0; i < kDraws; ++i) {
    const Box box = draw_random_resized_crop(kFits, kSide, kSide, visit_of(i));
    const auto height = static_cast<double>(box.height), width = static_cast<double>(box.width);
    areas.push_back(std::clamp(height * width / (kSide * kSide), 0.1, 0.49999));
    const double edge = std::log(4.0 / 3);
    ratios.push_back(std::clamp(std::log(width / height), -edge, edge * 0.99999));
    tops.push_back(static_cast<double>(box.top) / (kSide - height + 1));
    lefts.push_back(static_cast<double>(box.left) / (kSide - width + 1));
  }
  CHECK(evenness(binned(areas, 0.1, 0.5)) < 4);
  CHECK(evenness(binned(ratios, std::log(3.0 / 4), std::log(4.0 / 3))) < 4);
  CHECK(evenness(binned(tops, 0, 1)) < 4);
  CHECK(evenness(binned(lefts, 0, 1)) < 4);
}

TEST_CASE("a picture that no crop fits shows its middle") {
  const auto crop_of = [](int64_t height, int64_t width) {
    return draw_random_resized_crop(kRandomResizedCrop, height, width, visit_of(1));
  };
  CHECK(crop_of(10, 1000) == Box{0, 493, 10, 13});
  CHECK(crop_of(1000, 10) == Box{493, 0, 13, 10});
  CHECK(crop_of(1, 1) == Box{0, 0, 1, 1});
  CHECK_THROWS_AS(crop_of(0, 5), ShapeError);
  CHECK_THROWS_AS(draw_random_resized_crop({0.5, 0.2, 1, 1}, 9, 9, visit_of(1)), ShapeError);
  CHECK_THROWS_AS(draw_random_resized_crop({0.1, 0.2, 0, 1}, 9, 9, visit_of(1)), ShapeError);
}

TEST_CASE("random erasing takes as much as timm's, a quarter of the time") {
  const auto& expected = picture_fixture().at("distributions");
  const int64_t height = expected.at("size")[0], width = expected.at("size")[1];
  std::vector<Box> boxes;
  for (int64_t i = 0; i < kDraws; ++i) {
    const auto box = draw_random_erasing({}, height, width, visit_of(i));
    if (box) boxes.push_back(*box);
  }
  constexpr double kExpected = kDraws * 0.25, kVariance = kExpected * 0.75;
  CHECK(std::abs(static_cast<double>(boxes.size()) - kExpected) < 4 * std::sqrt(kVariance));
  const auto& moments = expected.at("erasing");
  const int64_t draws = expected.at("erasing_draws");
  check_moments(of(boxes, [](const Box& box) { return box.height; }), moments.at("height"), draws);
  check_moments(of(boxes, [](const Box& box) { return box.width; }), moments.at("width"), draws);
  check_moments(of(boxes, &Box::area), moments.at("area"), draws);
}

TEST_CASE("what is erased becomes standard normal noise, and nothing else changes") {
  constexpr int64_t kHeight = 61, kWidth = 83, kGuard = 5;
  constexpr Box kBox = {7, 11, 50, 70};
  std::vector<float> memory(3 * kHeight * kWidth + 2 * kGuard, 9.0F);
  const auto planes = std::span(memory).subspan(kGuard, 3 * kHeight * kWidth);
  erase(planes, kHeight, kWidth, kBox, visit_of(3));
  std::vector<double> noise, squares, neighbours;
  for (int64_t i = 0; i < std::ssize(memory); ++i) {
    const int64_t at = i - kGuard, y = at / kWidth % kHeight, x = at % kWidth;
    const bool inside = at >= 0 && at < std::ssize(planes) && y >= kBox.top &&
                        y < kBox.top + kBox.height && x >= kBox.left && x < kBox.left + kBox.width;
    const double value = memory[static_cast<size_t>(i)];
    REQUIRE((value == 9) == !inside);
    if (!inside) continue;
    if (!noise.empty()) neighbours.push_back(value * noise.back());
    noise.push_back(value);
    squares.push_back(value * value);
  }
  const double error = 1 / std::sqrt(static_cast<double>(noise.size()));
  CHECK(std::abs(mean(noise)) < 4 * error);
  CHECK(std::abs(mean(squares) - 1) < 4 * std::sqrt(2) * error);
  CHECK(std::abs(mean(neighbours)) < 4 * error);
  CHECK_THROWS_AS(erase(planes, kHeight, kWidth, {0, 20, 5, 64}, visit_of(3)), ShapeError);
  CHECK_THROWS_AS(erase(memory, kHeight, kWidth, kBox, visit_of(3)), ShapeError);
}

TEST_CASE("RandAugment draws its operations evenly, and applies half of them") {
  std::vector<int64_t> by_op(kRandAugmentOps), by_number(3);
  for (int64_t i = 0; i < kDraws; ++i) {
    const auto steps = draw_rand_augment({}, visit_of(i));
    ++by_number.at(steps.size());
    for (const RandAugmentStep& step : steps) ++by_op.at(static_cast<size_t>(step.op));
  }
  CHECK(evenness(by_op) < 4);
  CHECK(std::abs(by_number[0] - kDraws / 4) < 4 * std::sqrt(kDraws * 3 / 16));
  CHECK(std::abs(by_number[1] - kDraws / 2) < 4 * std::sqrt(kDraws / 4));
}

TEST_CASE("magnitudes of RandAugment are normal, cut at 10, in either direction") {
  std::vector<double> magnitudes;
  int64_t positive = 0, black = 0, posterized = 0;
  for (int64_t i = 0; i < kDraws; ++i) {
    for (const auto& [op, argument] : draw_rand_augment({.operations = 6}, visit_of(i))) {
      if (op == RandAugmentOp::rotate) {
        magnitudes.push_back(std::abs(argument) / 3);
        positive += argument > 0 ? 1 : 0;
      }
      if (op == RandAugmentOp::posterize_increasing) {
        ++posterized;
        black += argument == 0 ? 1 : 0;
      }
    }
  }
  const auto count = static_cast<double>(magnitudes.size());
  CHECK(std::abs(static_cast<double>(positive) - count / 2) < 2 * std::sqrt(count));
  // Parts of a normal distribution below -2, -1, 0, 1, 2 standard deviations from its mean.
  const std::array<double, 5> below = {0.022750, 0.158655, 0.5, 0.841345, 0.977250};
  for (size_t i = 0; i < below.size(); ++i) {
    const double limit = 9 + 0.5 * (static_cast<double>(i) - 2);
    const auto found = std::ranges::count_if(magnitudes, [=](double m) { return m < limit; });
    CHECK(std::abs(static_cast<double>(found) - count * below[i]) <
          4 * std::sqrt(count * below[i] * (1 - below[i])));
  }
  CHECK(*std::ranges::max_element(magnitudes) == Approx(10));
  const double expected_black = static_cast<double>(posterized) * 0.022750;
  CHECK(std::abs(static_cast<double>(black) - expected_black) < 4 * std::sqrt(expected_black));
}

TEST_CASE("a visit's picture depends on seed, epoch and image, and on nothing else") {
  const Picture picture = formula_picture(70, 90);
  const TrainTransform transform{.size = 32};
  const auto planes_of = [&](const ImageVisit& visit) {
    std::vector<float> planes(3 * 32 * 32);
    transform.to_planes(transform.augment(picture, visit), visit, planes);
    return planes;
  };
  const std::vector<float> planes = planes_of({5, 2, 7});
  planes_of({5, 2, 8});
  CHECK(planes_of({5, 2, 7}) == planes);
  CHECK(planes_of({6, 2, 7}) != planes);
  CHECK(planes_of({5, 3, 7}) != planes);
  CHECK(planes_of({5, 2, 8}) != planes);
  CHECK(planes_of({5 + (uint64_t{1} << 40), 2, 7}) != planes);
  std::vector<float> other(5);
  CHECK_THROWS_AS(transform.to_planes(formula_picture(32, 32), {5, 2, 7}, other), ShapeError);
}

TEST_CASE("a training picture goes through crop, flip, RandAugment, planes and erasing") {
  const Picture picture = formula_picture(70, 90);
  int64_t flipped = 0, erased = 0;
  constexpr int64_t kVisits = 300;
  for (int64_t i = 0; i < kVisits; ++i) {
    const ImageVisit visit = visit_of(i);
    TrainTransform transform{.size = 24};
    std::vector<float> planes(3 * 24 * 24);
    transform.to_planes(transform.augment(picture, visit), visit, planes);

    const Box box = draw_random_resized_crop(transform.crop, 70, 90, visit);
    const Picture cut = resize(crop(picture, box), 24, 24, Interpolation::bicubic);
    transform.rand_augment.operations = 0;
    Picture by_hand = transform.augment(picture, visit);
    REQUIRE((by_hand == cut || by_hand == flip(cut)));
    flipped += by_hand == cut ? 0 : 1;
    for (const RandAugmentStep& step : draw_rand_augment({}, visit)) {
      by_hand = apply(step, by_hand, Interpolation::bicubic, {124, 116, 104});
    }
    std::vector<float> expected(3 * 24 * 24);
    normalize(by_hand, {}, expected);
    if (const auto hole = draw_random_erasing({}, 24, 24, visit)) {
      erase(expected, 24, 24, *hole, visit);
      ++erased;
    }
    REQUIRE(planes == expected);
  }
  CHECK(std::abs(flipped - kVisits / 2) < 4 * std::sqrt(kVisits / 4));
  CHECK(erased > 0);
}

TEST_CASE("pictures of an evaluation have the bits of torchvision") {
  for (const auto& one : picture_fixture().at("evaluations")) {
    INFO(one.dump());
    const int64_t crop = one.at("crop");
    const EvalTransform transform{.resize = one.at("resize"), .crop = crop};
    const Picture picture = formula_picture(one.at("size")[0], one.at("size")[1]);
    CHECK(crc_of(transform.crop_of(picture)) == one.at("pixels_crc32"));
    std::vector<float> planes(static_cast<size_t>(3 * crop * crop));
    transform.apply(picture, planes);
    CHECK(crc_of(std::span<const float>(planes)) == one.at("planes_crc32"));
  }
}

TEST_CASE("what cannot become planes is refused") {
  std::vector<float> planes(3);
  CHECK_THROWS_AS(normalize(formula_picture(6, 8), {}, planes), ShapeError);
  CHECK_THROWS_AS(normalize(formula_picture(1, 1), {{0, 0, 0}, {1, 0, 1}}, planes), ShapeError);
  const EvalTransform larger{.resize = 4, .crop = 5};
  CHECK_THROWS_AS(larger.crop_of(formula_picture(6, 8)), ShapeError);
  CHECK(Normalization{}.fill() == std::array<uint8_t, 3>{124, 116, 104});
}

TEST_CASE("a training picture is the same whether all of its file is decoded or its crop") {
  const TrainTransform transform{.size = 24};
  for (const auto& file : picture_fixture().at("files")) {
    INFO(file.dump());
    const std::string path = kPictureFolder + file.at("name").get<std::string>();
    const std::string text = read_bytes(path);
    const auto bytes = std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    for (int64_t i = 0; i < 10; ++i) {
      REQUIRE(transform.augment(bytes, path, visit_of(i)) ==
              transform.augment(decode_picture(bytes, path), visit_of(i)));
    }
  }
}
