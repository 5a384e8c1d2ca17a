#pragma once

#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

namespace ssa::testing {

inline const std::string kPictureFolder = SSA_SOURCE_DIR "/tests/fixtures/pictures/";

/// What Pillow, torchvision and timm make of pictures: scripts/make_picture_fixtures.py tells what
/// each part holds.
inline const nlohmann::json& picture_fixture() {
  static const auto values = nlohmann::json::parse(std::ifstream(kPictureFolder + "pillow.json"));
  return values;
}

}  // namespace ssa::testing
