#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "ssa/data/picture.h"

namespace ssa {

/// Throws DataError, naming `path`.
Picture decode_jpeg(std::span<const uint8_t> bytes, const std::string& path);

/// The whole of the picture, by its header. Throws DataError, naming `path`.
Box jpeg_box(std::span<const uint8_t> bytes, const std::string& path);

/// A part of the picture; what lies beside and below is not decoded. Throws DataError, naming
/// `path`, and ShapeError if the box leaves the picture.
Picture decode_jpeg_crop(std::span<const uint8_t> bytes, const Box& box, const std::string& path);

}  // namespace ssa
