#include "ssa/data/distribution_augmentation.h"

#include <map>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"

#include "formula_picture.h"

using namespace ssa;
using testing::formula_picture;

namespace {

using Variants = std::array<int32_t, 4>;  // rotation, color, transposition, jigsaw

uint32_t crc_of(const Variants& variants) {
  Picture picture = formula_picture(32, 32);
  for (const Augmentation kind : kAugmentations) {
    augment(picture.pixels, 32, kind, variants[static_cast<size_t>(kind)]);
  }
  return testing::crc_of(picture);
}

}  // namespace

TEST_CASE("augmented pictures are those of the published code") {
  CHECK(crc_of({0, 0, 0, 0}) == 22592366);
  CHECK(crc_of({1, 0, 0, 0}) == 2300571284);
  CHECK(crc_of({3, 0, 0, 0}) == 2561831762);
  CHECK(crc_of({0, 3, 0, 0}) == 3351037154);
  CHECK(crc_of({0, 4, 0, 0}) == 1169715735);
  CHECK(crc_of({0, 0, 1, 0}) == 924037028);
  CHECK(crc_of({0, 0, 0, 7}) == 3037837178);
  CHECK(crc_of({1, 3, 1, 18}) == 338612008);
  CHECK(crc_of({2, 5, 0, 23}) == 223057011);
}

TEST_CASE("variants are drawn evenly, from counters, and apart from each other") {
  const std::vector<Augmentation> all(kAugmentations.begin(), kAugmentations.end());
  constexpr int64_t kDraws = 24000;
  for (size_t kind = 0; kind < all.size(); ++kind) {
    std::map<int32_t, int64_t> counts;
    for (int64_t image = 0; image < kDraws; ++image)
      ++counts[draw_variants(all, 7, 3, image)[kind]];
    const int64_t expected = kDraws / variants(all[kind]);
    REQUIRE(std::ssize(counts) == variants(all[kind]));
    // Five standard deviations of a binomial count.
    for (const auto& [variant, count] : counts) {
      CHECK(std::abs(count - expected) < 5 * std::sqrt(static_cast<double>(expected)));
    }
  }
  CHECK(draw_variants(all, 7, 3, 11) == draw_variants(all, 7, 3, 11));
  std::vector<int32_t> by_epoch, by_seed, by_image;
  for (int64_t i = 0; i < 8; ++i) {
    const auto add = [](std::vector<int32_t>& to, const std::vector<int32_t>& drawn) {
      to.insert(to.end(), drawn.begin(), drawn.end());
    };
    add(by_epoch, draw_variants(all, 7, i, 0));
    add(by_seed, draw_variants(all, static_cast<uint64_t>(i), 0, 0));
    add(by_image, draw_variants(all, 7, 0, i));
  }
  CHECK(by_epoch != by_seed);
  CHECK(by_epoch != by_image);
  CHECK(draw_variants(std::vector{Augmentation::jigsaw}, 7, 3, 11).front() ==
        draw_variants(all, 7, 3, 11).back());
}

TEST_CASE("what cannot be augmented is refused") {
  std::vector<uint8_t> pixels(3 * 3 * 3);
  CHECK_THROWS_AS(augment(pixels, 3, Augmentation::jigsaw, 1), ShapeError);
  CHECK_THROWS_AS(augment(pixels, 3, Augmentation::rotation, 4), ShapeError);
  CHECK_THROWS_AS(augment(pixels, 4, Augmentation::rotation, 1), ShapeError);
}
