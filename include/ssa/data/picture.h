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

/// A rectangle of pixels.
struct Box {
  int64_t top = 0, left = 0, height = 0, width = 0;

  int64_t area() const { return height * width; }
  bool operator==(const Box&) const = default;
};

/// Decodes a JPEG or PNG, told apart by its first bytes. Gray pictures are repeated in all three
/// channels, transparency is dropped, four inks of a JPEG are mixed as Pillow does. `path` names
/// the picture in messages. Throws DataError for anything else, and for a picture that ends early.
Picture decode_picture(std::span<const uint8_t> bytes, const std::string& path);

/// The whole of a picture, by the header of its file. Throws DataError as decode_picture() does, as
/// far as the header tells.
Box picture_box(std::span<const uint8_t> bytes, const std::string& path);

/// The same pixels as those of crop(decode_picture(bytes, path), box). Of a JPEG, what lies beside
/// and below the box is not decoded: what is wrong there goes unnoticed. Throws as those two do.
Picture decode_crop(std::span<const uint8_t> bytes, const Box& box, const std::string& path);

/// A JPEG of this quality, 1 … 100, with halved colours as libjpeg makes them. Throws ShapeError if
/// the pixels are not height·width·3, DataError if a side is too long for a JPEG.
std::vector<uint8_t> encode_jpeg(const Picture& picture, int quality);

/// A PNG of 8 bits a channel. Throws ShapeError if the pixels are not height·width·3.
std::vector<uint8_t> encode_png(const Picture& picture);

}  // namespace ssa
