#include "ssa/data/picture.h"

#include <algorithm>
#include <array>

#include "ssa/core/error.h"

#include "jpeg.h"
#include "png.h"

namespace ssa {

namespace {

constexpr std::array<uint8_t, 3> kJpeg = {0xff, 0xd8, 0xff};
constexpr std::array<uint8_t, 4> kPng = {0x89, 'P', 'N', 'G'};

bool begins_with(std::span<const uint8_t> bytes, std::span<const uint8_t> magic) {
  return bytes.size() >= magic.size() && std::ranges::equal(bytes.first(magic.size()), magic);
}

}  // namespace

Picture decode_picture(std::span<const uint8_t> bytes, const std::string& path) {
  if (begins_with(bytes, kJpeg)) return decode_jpeg(bytes, path);
  if (begins_with(bytes, kPng)) return decode_png(bytes, path);
  throw DataError("'{}' is neither a JPEG nor a PNG", path);
}

}  // namespace ssa
