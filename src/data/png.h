#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "ssa/data/picture.h"

namespace ssa {

/// Throws DataError, naming `path`.
Picture decode_png(std::span<const uint8_t> bytes, const std::string& path);

/// The whole of the picture, by its header. Throws DataError, naming `path`.
Box png_box(std::span<const uint8_t> bytes, const std::string& path);

}  // namespace ssa
