#include "report/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "report/html.h"
#include "report/ticks.h"

namespace ssa::report {

namespace {

// In units of the SVG's view box, like the charts beside it.
constexpr int kLevels = 20;
constexpr double kWidth = 400, kSide = 290, kLeft = 46, kTop = 26, kBottom = 42;
constexpr double kScaleLeft = kLeft + kSide + 18, kScaleWidth = 12;

/// -1: not possible.
int level_of(double probability) {
  if (std::isnan(probability)) return -1;
  return static_cast<int>(std::lround(std::clamp(probability, 0.0, 1.0) * kLevels));
}

/// Rises fast at first, so that rare sources are visible too.
double opacity_of(int level) { return std::pow(static_cast<double>(level) / kLevels, 0.7); }

/// One path per level, made of rectangles that join equal neighbouring cells. A cell is one unit.
std::array<std::string, kLevels + 1> rectangles(std::vector<int> levels, size_t columns) {
  std::array<std::string, kLevels + 1> paths;
  const size_t rows = levels.size() / columns;
  const auto cell = [&](size_t row, size_t column) {
    return levels.begin() + static_cast<std::ptrdiff_t>(row * columns + column);
  };
  const auto same = [&](size_t row, size_t begin, size_t end, int level) {
    return std::all_of(cell(row, begin), cell(row, end),
                       [level](int other) { return other == level; });
  };
  for (size_t row = 0; row < rows; ++row) {
    for (size_t begin = 0; begin < columns; ++begin) {
      const int level = *cell(row, begin);
      if (level < 0) continue;
      size_t end = begin + 1, bottom = row + 1;
      while (end < columns && *cell(row, end) == level) ++end;
      while (bottom < rows && same(bottom, begin, end, level)) ++bottom;
      paths[static_cast<size_t>(level)] +=
          fmt::format("M{} {}h{}v{}h-{}z", begin, row, end - begin, bottom - row, end - begin);
      for (size_t r = row; r < bottom; ++r) std::fill(cell(r, begin), cell(r, end), -1);
    }
  }
  return paths;
}

std::string cells(const HeatMap& map) {
  std::vector<int> levels, possible;
  for (const double probability : map.probability) {
    levels.push_back(level_of(probability));
    possible.push_back(std::min(levels.back(), 0));
  }
  std::string html = fmt::format(R"svg(<g transform="translate({} {}) scale({:.5f} {:.5f})">)svg",
                                 kLeft, kTop, kSide / static_cast<double>(map.across.cells),
                                 kSide / static_cast<double>(map.down.cells));
  // What was never sampled looks different from what is not possible.
  html += fmt::format(R"(<path class="past" d="{}"/>)",
                      rectangles(std::move(possible), map.across.cells).front());
  const auto paths = rectangles(std::move(levels), map.across.cells);
  for (int level = 1; level <= kLevels; ++level) {
    const std::string& path = paths[static_cast<size_t>(level)];
    if (path.empty()) continue;
    html += fmt::format(R"(<path class="heat" fill-opacity="{:.2f}" d="{}"/>)", opacity_of(level),
                        path);
  }
  return html + "</g>";
}

std::string frames(const HeatMap& map, const std::vector<HeatMap::Frame>& list,
                   const std::string& style) {
  const double high = kSide / map.down.end, wide = kSide / map.across.end;
  std::string path;
  for (const HeatMap::Frame& frame : list) {
    path += fmt::format("M{:.1f} {:.1f}h{:.1f}v{:.1f}h-{:.1f}z", kLeft + frame.left * wide,
                        kTop + frame.top * high, (frame.right - frame.left) * wide,
                        (frame.bottom - frame.top) * high, (frame.right - frame.left) * wide);
  }
  return path.empty() ? path : fmt::format(R"(<path class="{}" d="{}"/>)", style, path);
}

std::string text(double x, double y, const char* anchor, const char* style,
                 const std::string& content) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>)", x, y,
                     anchor, style, escape(content));
}

std::string axes(const HeatMap& map) {
  constexpr double kEnd = kTop + kSide;
  std::string html = text(4, 13, "start", "label", map.down.label);
  html += text(kLeft + kSide / 2, kEnd + 35, "middle", "label", map.across.label);
  std::string path = fmt::format("M{} {}v{}h{}", kLeft, kTop, kSide, kSide);
  const auto draw_ticks = [](const HeatMap::Axis& axis, const auto& draw) {
    std::vector<double> ticks = nice_ticks({0, axis.end}, 6);
    std::erase_if(ticks, [](double tick) { return tick != std::round(tick); });  // axes count
    const std::vector<std::string> labels = tick_labels(ticks);
    for (size_t i = 0; i < ticks.size(); ++i) draw(ticks[i] / axis.end * kSide, labels[i]);
  };
  draw_ticks(map.across, [&](double along, const std::string& label) {
    path += fmt::format("M{:.1f} {}v4", kLeft + along, kEnd);
    html += text(kLeft + along, kEnd + 17, "middle", "tick", label);
  });
  draw_ticks(map.down, [&](double along, const std::string& label) {
    path += fmt::format("M{} {:.1f}h-4", kLeft, kTop + along);
    html += text(kLeft - 6, kTop + along + 4, "end", "tick", label);
  });
  if (!map.note.text.empty()) {
    html += text(kLeft + kSide * map.note.across, kTop + kSide * map.note.down, "middle", "label",
                 map.note.text);
  }
  return html + fmt::format(R"(<path class="axis" d="{}"/>)", path);
}

std::string scale() {
  constexpr double kStep = kSide / kLevels;
  std::string html = fmt::format(R"(<rect class="past" x="{}" y="{}" width="{}" height="{}"/>)",
                                 kScaleLeft, kTop, kScaleWidth, kSide);
  for (int level = 1; level <= kLevels; ++level) {
    html += fmt::format(
        R"(<rect class="heat" fill-opacity="{:.2f}" x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>)",
        opacity_of(level), kScaleLeft, kTop + kStep * (kLevels - level), kScaleWidth, kStep);
  }
  for (const double p : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    html += text(kScaleLeft + kScaleWidth + 5, kTop + kSide * (1 - p) + 4, "start", "tick",
                 fmt::format("{}", p));
  }
  return html + text(kWidth, 13, "end", "label", "probability");
}

}  // namespace

std::string render(const HeatMap& map) {
  return fmt::format(R"(<figure><figcaption>{0}</figcaption><svg viewBox="0 0 {1} {2}" role="img">)"
                     R"(<title>{0}</title><desc>{3}</desc>{4}{5}{6}{7}{8}</svg></figure>)"
                     "\n",
                     escape(map.title), kWidth, kTop + kSide + kBottom, escape(map.description),
                     cells(map), frames(map, map.dashed, "own"), frames(map, map.solid, "target"),
                     axes(map), scale());
}

}  // namespace ssa::report
