#include "ssa/data/picture.h"

#include <algorithm>
#include <array>

#include "ssa/core/error.h"
#include "ssa/data/picture_geometry.h"

#include "jpeg.h"
#include "png.h"

namespace ssa {

namespace {

constexpr std::array<uint8_t, 3> kJpeg = {0xff, 0xd8, 0xff};
constexpr std::array<uint8_t, 4> kPng = {0x89, 'P', 'N', 'G'};

bool begins_with(std::span<const uint8_t> bytes, std::span<const uint8_t> magic) {
  return bytes.size() >= magic.size() && std::ranges::equal(bytes.first(magic.size()), magic);
}

/// A JPEG, or else a PNG. Throws DataError for anything else.
bool is_jpeg(std::span<const uint8_t> bytes, const std::string& path) {
  if (begins_with(bytes, kJpeg)) return true;
  if (begins_with(bytes, kPng)) return false;
  throw DataError("'{}' is neither a JPEG nor a PNG", path);
}

}  // namespace

Picture decode_picture(std::span<const uint8_t> bytes, const std::string& path) {
  return is_jpeg(bytes, path) ? decode_jpeg(bytes, path) : decode_png(bytes, path);
}

Box picture_box(std::span<const uint8_t> bytes, const std::string& path) {
  return is_jpeg(bytes, path) ? jpeg_box(bytes, path) : png_box(bytes, path);
}

Picture decode_crop(std::span<const uint8_t> bytes, const Box& box, const std::string& path) {
  return is_jpeg(bytes, path) ? decode_jpeg_crop(bytes, box, path)
                              : crop(decode_png(bytes, path), box);
}

}  // namespace ssa
