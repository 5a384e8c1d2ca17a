#include "report/bar_chart.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/html.h"

namespace ssa::report {

namespace {

// In units of the SVG's view box, as in svg_plot.cpp.
constexpr double kWidth = 400, kLabels = 130, kValues = 44, kGap = 6;
constexpr double kBarHeight = 11, kRowHeight = 16, kTop = 4;
constexpr double kLongest = kWidth - kLabels - kValues - kGap;
constexpr size_t kMostLabelBytes = 22;

/// The label, cut if it is too long for its place.
std::string short_label(const std::string& label) {
  if (label.size() <= kMostLabelBytes) return label;
  return std::string(cut(label, kMostLabelBytes - 2)) + "…";
}

std::string row(const BarChart& chart, const Bar& bar, double y) {
  const double part = std::isfinite(bar.value) && chart.longest > 0 ? bar.value / chart.longest : 0;
  const double length = kLongest * std::clamp(part, 0.0, 1.0);
  const double text = y + kBarHeight - 1.5;
  return fmt::format(
      R"(<g><title>{}</title><text x="{}" y="{:.1f}" text-anchor="end" class="tick">{}</text>)"
      R"(<rect class="bar {}" x="{}" y="{:.1f}" width="{:.1f}" height="{}"/>)"
      R"(<text x="{:.1f}" y="{:.1f}" class="tick">{}</text></g>)",
      escape(bar.about), kLabels, text, escape(short_label(bar.label)), color_class(chart.style),
      kLabels + kGap, y, length, kBarHeight, kLabels + kGap + length + 4, text,
      significant(bar.value, 3));
}

}  // namespace

std::string render(const BarChart& chart) {
  std::string html = fmt::format(
      R"(<figure><figcaption>{0}</figcaption><svg viewBox="0 0 {1} {2}" role="img">)"
      R"(<title>{0}</title>)",
      escape(chart.title), kWidth, kTop + kRowHeight * static_cast<double>(chart.bars.size()));
  double y = kTop;
  for (const Bar& bar : chart.bars) {
    html += row(chart, bar, y);
    y += kRowHeight;
  }
  return html + "</svg></figure>\n";
}

}  // namespace ssa::report
