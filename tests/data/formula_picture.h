#pragma once

#include <cstdint>
#include <span>

#include <zlib.h>

#include "ssa/data/picture.h"

namespace ssa::testing {

/// A picture of the formula that the fixtures of pictures are made with:
/// img[r][c][k] = (7r + 13c + 29k + (r·c) mod 31 + (r²·k) mod 17) mod 256
inline Picture formula_picture(int64_t height, int64_t width) {
  Picture picture{height, width, {}};
  for (int64_t r = 0; r < height; ++r) {
    for (int64_t c = 0; c < width; ++c) {
      for (int64_t k = 0; k < 3; ++k) {
        picture.pixels.push_back(
            static_cast<uint8_t>(7 * r + 13 * c + 29 * k + r * c % 31 + r * r * k % 17));
      }
    }
  }
  return picture;
}

/// CRC-32 of the bytes of some values.
template <class T>
uint32_t crc_of(std::span<const T> values) {
  const auto* bytes = reinterpret_cast<const Bytef*>(values.data());
  return static_cast<uint32_t>(crc32(0, bytes, static_cast<uInt>(values.size_bytes())));
}

inline uint32_t crc_of(const Picture& picture) {
  return crc_of(std::span<const uint8_t>(picture.pixels));
}

}  // namespace ssa::testing
