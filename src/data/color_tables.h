#pragma once

#include <array>
#include <cstdint>

#include "ssa/data/picture.h"

#include "picture_checks.h"

namespace ssa {

/// What becomes of each of the 256 values of a channel.
using ColorTable = std::array<uint8_t, 256>;

/// Looks the values of each channel up in its table.
Picture look_up(const Picture& picture, const std::array<ColorTable, kChannels>& tables);

/// One table for all channels: `f` of each value, which must be in 0…255.
template <class F>
Picture map_colors(const Picture& picture, F f) {
  ColorTable table;
  for (size_t v = 0; v < table.size(); ++v) table[v] = static_cast<uint8_t>(f(static_cast<int>(v)));
  return look_up(picture, {table, table, table});
}

}  // namespace ssa
