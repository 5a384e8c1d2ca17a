#include "color_tables.h"

#include <algorithm>
#include <numeric>

#include "ssa/data/picture_color.h"

namespace ssa {

namespace {

using Histogram = std::array<int64_t, 256>;  // how often each value occurs

std::array<Histogram, kChannels> histograms(const Picture& picture) {
  std::array<Histogram, kChannels> counts{};
  for (size_t at = 0; at < picture.pixels.size(); at += kChannels) {
    for (size_t c = 0; c < kChannels; ++c) ++counts[c][picture.pixels[at + c]];
  }
  return counts;
}

ColorTable identity() {
  ColorTable table;
  std::iota(table.begin(), table.end(), uint8_t{0});
  return table;
}

ColorTable autocontrast_table(const Histogram& counts) {
  const auto occurs = [](int64_t count) { return count > 0; };
  const auto low = std::ranges::find_if(counts, occurs) - counts.begin();
  const auto high = 255 - (std::find_if(counts.rbegin(), counts.rend(), occurs) - counts.rbegin());
  if (high <= low) return identity();
  const double scale = 255.0 / static_cast<double>(high - low);
  const double offset = -static_cast<double>(low) * scale;
  ColorTable table;
  for (size_t v = 0; v < table.size(); ++v) {
    table[v] =
        static_cast<uint8_t>(std::clamp(static_cast<double>(v) * scale + offset, 0.0, 255.0));
  }
  return table;
}

ColorTable equalize_table(const Histogram& counts) {
  const auto occurs = [](int64_t count) { return count > 0; };
  const int64_t last = *std::find_if(counts.rbegin(), counts.rend(), occurs);
  const int64_t step = (std::accumulate(counts.begin(), counts.end(), int64_t{0}) - last) / 255;
  if (step == 0) return identity();
  ColorTable table;
  int64_t below = step / 2;
  for (size_t v = 0; v < table.size(); ++v) {
    table[v] = static_cast<uint8_t>(std::min<int64_t>(below / step, 255));
    below += counts[v];
  }
  return table;
}

template <class F>
Picture map_by_histogram(const Picture& picture, F table_of) {
  const auto counts = histograms(picture);
  return look_up(picture, {table_of(counts[0]), table_of(counts[1]), table_of(counts[2])});
}

}  // namespace

Picture look_up(const Picture& picture, const std::array<ColorTable, kChannels>& tables) {
  Picture out = blank_picture(picture.height, picture.width);
  for (size_t at = 0; at < picture.pixels.size(); at += kChannels) {
    for (size_t c = 0; c < kChannels; ++c) {
      out.pixels[at + c] = tables[c][picture.pixels[at + c]];
    }
  }
  return out;
}

Picture autocontrast(const Picture& picture) {
  require_picture("autocontrast", picture);
  return map_by_histogram(picture, autocontrast_table);
}

Picture equalize(const Picture& picture) {
  require_picture("equalize", picture);
  return map_by_histogram(picture, equalize_table);
}

Picture invert(const Picture& picture) {
  require_picture("invert", picture);
  return map_colors(picture, [](int v) { return 255 - v; });
}

Picture posterize(const Picture& picture, int64_t bits) {
  require_picture("posterize", picture);
  SSA_CHECK(bits >= 0 && bits <= 8, "posterize: {} bits of 8", bits);
  return map_colors(picture, [=](int v) { return v & ~((1 << (8 - bits)) - 1); });
}

Picture solarize(const Picture& picture, int64_t threshold) {
  require_picture("solarize", picture);
  return map_colors(picture, [=](int v) { return v < threshold ? v : 255 - v; });
}

Picture solarize_add(const Picture& picture, int64_t addend) {
  require_picture("solarize_add", picture);
  SSA_CHECK(addend >= 0, "solarize_add: {} is negative", addend);
  return map_colors(picture,
                    [=](int v) { return v < 128 ? std::min<int64_t>(255, v + addend) : v; });
}

}  // namespace ssa
