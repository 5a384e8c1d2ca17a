#include "ssa/data/picture.h"

#include "ssa/core/philox.h"
#include "ssa/data/picture_geometry.h"

#include "formula_picture.h"
#include "picture_fixture.h"
#include "test_files.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

Picture colourful(int64_t height, int64_t width) {
  Picture picture{height, width, {}};
  for (int64_t i = 0; i < height * width * 3; ++i) {
    picture.pixels.push_back(static_cast<uint8_t>(i * 37 % 251));
  }
  return picture;
}

}  // namespace

TEST_CASE("a PNG is read back as it was written") {
  for (const auto& [height, width] : {std::pair{1, 1}, {3, 5}, {32, 32}, {7, 129}}) {
    const Picture picture = colourful(height, width);
    CHECK(decode_picture(encode_png(picture), "p.png") == picture);
  }
}

TEST_CASE("what is no picture, or ends early, is refused with its name") {
  const std::vector<uint8_t> text = {'h', 'e', 'l', 'l', 'o'};
  CHECK_THAT(error_of(ExitCode::data, [&] { decode_picture(text, "x.jpg"); }),
             Catch::Contains("'x.jpg' is neither a JPEG nor a PNG"));
  const std::vector<uint8_t> png = encode_png(colourful(9, 9));
  for (size_t bytes = 4; bytes + 1 < png.size(); bytes += 7) {
    const std::span<const uint8_t> torn(png.data(), bytes);
    CHECK_THAT(error_of(ExitCode::data, [&] { decode_picture(torn, "torn.png"); }),
               Catch::Contains("torn.png"));
  }
  const std::vector<uint8_t> jpeg = {0xff, 0xd8, 0xff, 0xe0, 0x00};
  CHECK_THAT(error_of(ExitCode::data, [&] { decode_picture(jpeg, "torn.jpg"); }),
             Catch::Contains("torn.jpg"));
}

TEST_CASE("a picture of more pixels than its bytes can hold is refused before it takes memory") {
  const std::string folder = SSA_SOURCE_DIR "/tests/fuzz/corpus/picture/";
  for (const std::string name : {"too_large_for_its_bytes.jpg", "far_too_large_arithmetic.jpg"}) {
    const std::string text = read_bytes(folder + name);
    const auto bytes = std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    CHECK_THAT(error_of(ExitCode::data, [&] { picture_box(bytes, name); }),
               Catch::Contains(name) && Catch::Contains("ends early") && Catch::Contains(" x "));
  }
}

TEST_CASE("a part that is decoded alone has the pixels that it has in its picture") {
  const RngKey key{.seed = 3};
  for (const auto& file : picture_fixture().at("files")) {
    INFO(file.dump());
    const std::string path = kPictureFolder + file.at("name").get<std::string>();
    const std::string text = read_bytes(path);
    const auto bytes = std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    const Picture picture = decode_picture(bytes, path);
    const Box whole{0, 0, picture.height, picture.width};
    CHECK(picture_box(bytes, path) == whole);
    CHECK(decode_crop(bytes, whole, path) == picture);
    for (uint32_t i = 0; i < 60; ++i) {
      const auto words = key.words(i);
      Box box;
      box.height = 1 + words[0] % picture.height;
      box.width = 1 + words[1] % picture.width;
      box.top = words[2] % (picture.height - box.height + 1);
      box.left = words[3] % (picture.width - box.width + 1);
      REQUIRE(decode_crop(bytes, box, path) == crop(picture, box));
    }
    CHECK_THROWS_AS(decode_crop(bytes, {0, 1, 1, picture.width}, path), ShapeError);
    CHECK_THROWS_AS(decode_crop(bytes.first(bytes.size() / 4), whole, path), DataError);
    CHECK_THROWS_AS(picture_box(bytes.first(10), path), DataError);
  }
}

TEST_CASE("kinds of files that are easily read wrong have the pixels of Pillow") {
  REQUIRE(picture_fixture().at("files").size() == 11);
  for (const auto& file : picture_fixture().at("files")) {
    INFO(file.dump());
    const std::string path = kPictureFolder + file.at("name").get<std::string>();
    const std::string text = read_bytes(path);
    const auto bytes = std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    const Picture picture = decode_picture(bytes, path);
    CHECK(picture.height == file.at("size")[0]);
    CHECK(picture.width == file.at("size")[1]);
    CHECK(crc_of(picture) == file.at("crc32"));
    // Pillow refuses them wherever they end early. libjpeg only warns, and fills up with gray.
    for (size_t count = 4; count < bytes.size(); count += 11) {
      CHECK_THAT(error_of(ExitCode::data, [&] { decode_picture(bytes.first(count), path); }),
                 Catch::Contains(path));
    }
    CHECK_THROWS_AS(decode_picture(bytes.first(bytes.size() - 1), path), DataError);
  }
}
