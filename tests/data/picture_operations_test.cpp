#include <limits>

#include "ssa/data/picture_color.h"
#include "ssa/data/picture_geometry.h"

#include "formula_picture.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

// What the values of Pillow do not show: identities, and what is refused.

TEST_CASE("operations that change nothing keep the picture") {
  const Picture picture = formula_picture(13, 17);
  CHECK(flip(flip(picture)) == picture);
  CHECK(invert(invert(picture)) == picture);
  CHECK(solarize(picture, 256) == picture);
  CHECK(posterize(picture, 8) == picture);
  CHECK(crop(picture, {0, 0, 13, 17}) == picture);
  CHECK(center_crop(picture, 13, 17) == picture);
  for (const Interpolation interpolation : {Interpolation::bilinear, Interpolation::bicubic}) {
    CHECK(resize(picture, 13, 17, interpolation) == picture);
    CHECK(transform_affine(picture, {1, 0, 0, 0, 1, 0}, interpolation, {1, 2, 3}) == picture);
    const Picture even = {40, 50, std::vector<uint8_t>(40 * 50 * 3, 77)};
    CHECK(resize(even, 7, 60, interpolation) ==
          Picture{7, 60, std::vector<uint8_t>(7 * 60 * 3, 77)});
  }
}

TEST_CASE("odd margins of a centre crop are split to the even side, as by Python's round()") {
  // Margins of 117 and 119 pixels: 58.5 becomes 58, 59.5 becomes 60.
  const Picture picture = formula_picture(118, 120);
  CHECK(center_crop(picture, 1, 1) == crop(picture, {58, 60, 1, 1}));
}

TEST_CASE("what comes from outside a picture has the fill colour") {
  const Picture picture = formula_picture(4, 5);
  const Picture moved =
      transform_affine(picture, translate_x(2), Interpolation::bicubic, {9, 8, 7});
  for (int64_t y = 0; y < 4; ++y) {
    for (int64_t x = 0; x < 5; ++x) {
      const Picture expected = x < 3 ? crop(picture, {y, x + 2, 1, 1}) : Picture{1, 1, {9, 8, 7}};
      CHECK(crop(moved, {y, x, 1, 1}) == expected);
    }
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Picture lost = transform_affine(picture, shear_x(nan), Interpolation::bilinear, {9, 8, 7});
  CHECK(crop(lost, {3, 4, 1, 1}) == Picture{1, 1, {9, 8, 7}});
}

TEST_CASE("pictures that are no pictures, and parts that are not there, are refused") {
  const Picture picture = formula_picture(6, 8), empty, torn{2, 2, {1, 2, 3}};
  CHECK_THROWS_AS(flip(empty), ShapeError);
  CHECK_THROWS_AS(equalize(torn), ShapeError);
  CHECK_THROWS_AS(smooth(torn), ShapeError);
  CHECK_THROWS_AS(resize(torn, 3, 3, Interpolation::bicubic), ShapeError);
  CHECK_THROWS_AS(resize(picture, 0, 3, Interpolation::bicubic), ShapeError);
  CHECK_THROWS_AS(crop(picture, {0, 0, 7, 8}), ShapeError);
  CHECK_THROWS_AS(crop(picture, {-1, 0, 2, 2}), ShapeError);
  CHECK_THROWS_AS(crop(picture, {0, 0, 0, 2}), ShapeError);
  CHECK_THROWS_AS(center_crop(picture, 7, 7), ShapeError);
  CHECK_THROWS_AS(posterize(picture, 9), ShapeError);
  CHECK_THROWS_AS(posterize(picture, -1), ShapeError);
  CHECK_THROWS_AS(solarize_add(picture, -1), ShapeError);
  CHECK_THROWS_AS(adjust_color(picture, std::numeric_limits<double>::infinity()), ShapeError);
}
