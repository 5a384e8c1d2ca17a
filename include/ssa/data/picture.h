#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ssa {

/// Red, green and blue of each pixel, row by row: (height, width, 3).
struct Picture {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> pixels;

  bool operator==(const Picture&) const = default;
};

/// Decodes a JPEG or PNG, told apart by its first bytes. Gray pictures are repeated in all three
/// channels, transparency is dropped, four inks of a JPEG are mixed as Pillow does. `path` names
/// the picture in messages. Throws DataError for anything else, and for a picture that ends early.
Picture decode_picture(std::span<const uint8_t> bytes, const std::string& path);

/// A PNG of 8 bits a channel. Throws ShapeError if the pixels are not height·width·3.
std::vector<uint8_t> encode_png(const Picture& picture);

}  // namespace ssa
