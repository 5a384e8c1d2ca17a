#include <cctype>
#include <map>

#include "ssa/data/picture_color.h"
#include "ssa/data/picture_geometry.h"
#include "ssa/data/rand_augment.h"

#include "formula_picture.h"
#include "picture_fixture.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

// Every operation on pictures gives the bits of Pillow and timm.

namespace {

using nlohmann::json;

Interpolation interpolation_of(const json& one) {
  return one.at("interpolation") == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
}

Picture picture_of(const json& one) {
  Picture picture = formula_picture(one.at("size")[0], one.at("size")[1]);
  if (one.value("dim", false)) {
    for (uint8_t& value : picture.pixels) value = static_cast<uint8_t>(value / 3 + 40);
  }
  return picture;
}

Picture apply_operation(const json& one) {
  const std::string name = one.at("op");
  const Picture in = picture_of(one);
  const double argument = one.at("argument");
  // What only RandAugment and what only this test names.
  const std::map<std::string, RandAugmentOp> steps = {
      {"rotate", RandAugmentOp::rotate},
      {"shear_x", RandAugmentOp::shear_x},
      {"shear_y", RandAugmentOp::shear_y},
      {"translate_x_rel", RandAugmentOp::translate_x_rel},
      {"translate_y_rel", RandAugmentOp::translate_y_rel},
      {"color", RandAugmentOp::color_increasing},
      {"contrast", RandAugmentOp::contrast_increasing},
      {"brightness", RandAugmentOp::brightness_increasing},
      {"sharpness", RandAugmentOp::sharpness_increasing},
      {"solarize", RandAugmentOp::solarize_increasing},
      {"solarize_add", RandAugmentOp::solarize_add},
      {"posterize", RandAugmentOp::posterize_increasing},
      {"autocontrast", RandAugmentOp::auto_contrast},
      {"equalize", RandAugmentOp::equalize},
      {"invert", RandAugmentOp::invert}};
  if (name == "flip") return flip(in);
  if (name == "smooth") return smooth(in);
  return apply({steps.at(name), argument}, in, interpolation_of(one), {124, 116, 104});
}

/// The names of timm's operations in their order.
std::vector<std::string> timm_names() {
  std::vector<std::string> names;
  for (const json& one : picture_fixture().at("arguments")) {
    const std::string name = one.at("op");
    if (names.empty() || names.back() != name) names.push_back(name);
  }
  return names;
}

}  // namespace

TEST_CASE("operations on pixels give the bits of Pillow") {
  REQUIRE(picture_fixture().at("operations").size() > 150);
  for (const json& one : picture_fixture().at("operations")) {
    INFO(one.dump());
    const Picture result = apply_operation(one);
    CHECK(result.height == one.at("size")[0]);
    CHECK(result.width == one.at("size")[1]);
    CHECK(crc_of(result) == one.at("crc32"));
  }
}

TEST_CASE("resized pictures have the bits of Pillow") {
  REQUIRE(picture_fixture().at("resizes").size() > 20);
  for (const json& one : picture_fixture().at("resizes")) {
    INFO(one.dump());
    const json& box = one.at("box");
    const Picture cut = crop(picture_of(one), {box[0], box[1], box[2], box[3]});
    const Picture result = resize(cut, one.at("to")[0], one.at("to")[1], interpolation_of(one));
    CHECK(result.height == one.at("to")[0]);
    CHECK(result.width == one.at("to")[1]);
    CHECK(crc_of(result) == one.at("crc32"));
  }
}

TEST_CASE("arguments of RandAugment's operations are those of timm") {
  const auto names = timm_names();
  REQUIRE(names.size() == kRandAugmentOps);
  for (const json& one : picture_fixture().at("arguments")) {
    INFO(one.dump());
    const auto at = std::ranges::find(names, one.at("op").get<std::string>()) - names.begin();
    const auto op = static_cast<RandAugmentOp>(at);
    CHECK(rand_augment_argument(op, one.at("magnitude"), one.at("negative")) ==
          one.at("argument").get<double>());
  }
  // The order is timm's, and so are the names: "ShearX" is shear_x.
  for (size_t i = 0; i < names.size(); ++i) {
    std::string name;
    for (const char letter : names[i]) {
      if (std::isupper(letter) != 0 && !name.empty()) name += '_';
      name += static_cast<char>(std::tolower(letter));
    }
    CHECK(name == choices(RandAugmentOp{})[i]);
  }
}
