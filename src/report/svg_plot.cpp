#include "report/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "ssa/report/numbers.h"

#include "report/html.h"

namespace ssa::report {

namespace {

// In units of the SVG's view box. A unit is about a pixel on a phone and where the page shows three
// charts side by side.
constexpr double kWidth = 400, kHeight = 270;
constexpr double kLeft = 46, kRight = 14, kTop = 26, kBottom = 42;
constexpr double kInnerWidth = kWidth - kLeft - kRight;
constexpr double kInnerHeight = kHeight - kTop - kBottom;
constexpr double kTickGap = 6;
constexpr double kCharacter = 6.5;  // about the width of one in a tick's label
constexpr size_t kSpacedMarkers = 4;
constexpr double kLargest = 1e300;  // larger values cannot be scaled and are not shown

class Extent {
 public:
  void add(double value) {
    if (!(std::abs(value) < kLargest)) return;
    range_.low = seen_ ? std::min(range_.low, value) : value;
    range_.high = seen_ ? std::max(range_.high, value) : value;
    seen_ = true;
  }
  bool seen() const { return seen_; }
  Range range() const { return range_; }

 private:
  Range range_;
  bool seen_ = false;
};

bool drawable_point(const Point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

/// Maps values to positions in the view box and writes the SVG.
class Drawing {
 public:
  explicit Drawing(const Plot& plot) : plot_(plot), x_(x_range()), y_(y_range()) {}

  std::string render() {
    out_ +=
        fmt::format(R"(<figure{}><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img")"
                    R"(><title>{}</title><desc>{}</desc>)",
                    plot_.crowded ? " class=\"crowded\"" : "", escape(plot_.title), kWidth, kHeight,
                    escape(plot_.title), escape(description()));
    draw_axes();
    // A nested svg clips its content without an id.
    out_ +=
        fmt::format(R"(<svg x="{0}" y="{1}" width="{2}" height="{3}" viewBox="{0} {1} {2} {3}">)",
                    kLeft, kTop, kInnerWidth, kInnerHeight);
    for (const Band& band : plot_.bands) draw_band(band);
    for (const Mark& mark : plot_.vertical)
      draw_line(px(mark.at), kTop, px(mark.at), bottom(), mark);
    for (const Mark& mark : plot_.horizontal) {
      draw_line(kLeft, py(mark.at), kLeft + kInnerWidth, py(mark.at), mark);
    }
    for (const Series& series : plot_.series) draw_series(series);
    out_ += "</svg>";
    for (const Series& series : plot_.series) draw_markers(series);
    if (plot_.best && inside(*plot_.best)) draw_best(*plot_.best);
    draw_vertical_labels();
    draw_horizontal_labels();
    return out_ + "</svg></figure>\n";
  }

 private:
  static double bottom() { return kTop + kInnerHeight; }
  double px(double x) const { return position(kLeft + (x - x_.low) / x_.size() * kInnerWidth); }
  double py(double y) const { return position(kTop + (y_.high - y) / y_.size() * kInnerHeight); }
  /// Limits coordinates far outside of the plot, which are clipped anyway, so that they stay short.
  static double position(double value) { return std::clamp(value, -1e4, 1e4); }
  bool inside(const Point& point) const {
    const double slack = 1e-9 * y_.size();
    return drawable_point(point) && point.y >= y_.low - slack && point.y <= y_.high + slack;
  }

  Range x_range() const {
    if (!plot_.x_names.empty()) return {-0.3, static_cast<double>(plot_.x_names.size()) - 0.7};
    Extent extent;
    for (const Series& series : plot_.series) {
      for (const Point& point : series.points) {
        if (drawable_point(point)) extent.add(point.x);
      }
    }
    if (plot_.x_from_zero && extent.seen()) extent.add(0);
    return extent.seen() ? drawable(extent.range()) : Range{};
  }

  Range y_range() const {
    Extent extent;
    for (const Series& series : plot_.series) {
      for (const Point& point : series.points) {
        extent.add(point.y - point.spread);
        extent.add(point.y + point.spread);
      }
    }
    for (const Band& band : plot_.bands) {
      for (const double y : band.low) extent.add(y);
      for (const double y : band.high) extent.add(y);
    }
    for (const Mark& mark : plot_.horizontal) extent.add(mark.at);
    if (!extent.seen()) return {};
    Range range = drawable(extent.range());
    if (plot_.y_most && *plot_.y_most > range.low) {
      range = drawable({range.low, std::min(range.high, *plot_.y_most)});
    }
    const double margin = (plot_.horizontal.empty() ? 0.05 : 0.1) * range.size();
    if (plot_.y_from_zero && range.low >= 0) return {0, range.high + margin};
    return {range.low - margin, range.high + margin};
  }

  std::string description() const {
    std::string text = fmt::format("{} against {}.", plot_.y_label, plot_.x_label);
    for (const Series& series : plot_.series) {
      const auto last = std::find_if(series.points.rbegin(), series.points.rend(), drawable_point);
      if (last == series.points.rend() || series.label.empty()) continue;
      text += fmt::format(" {} ends at {}.", series.label, significant(last->y));
    }
    return text;
  }

  std::vector<double> ticks_along_x() const {
    std::vector<double> ticks = nice_ticks(x_, 6);
    if (plot_.x_whole) std::erase_if(ticks, [](double tick) { return tick != std::round(tick); });
    return ticks;
  }

  void draw_axes() {
    const std::vector<double> y_ticks = nice_ticks(y_, 7);
    const std::vector<std::string> y_labels = tick_labels(y_ticks);
    std::string grid;
    for (size_t i = 0; i < y_ticks.size(); ++i) {
      const double y = py(y_ticks[i]);
      grid += fmt::format("M{} {:.1f}h{}", kLeft, y, kInnerWidth);
      text(kLeft - kTickGap, y + 4, "end", "tick", y_labels[i]);
    }
    out_ += fmt::format(R"(<path class="grid" d="{}"/>)", grid);
    if (plot_.x_names.empty()) {
      draw_x_axis(ticks_along_x(), tick_labels(ticks_along_x()));
    } else {
      draw_x_axis(named_ticks(), plot_.x_names);
    }
    text(4, 13, "start", "label", plot_.y_label);
    text(kLeft + kInnerWidth / 2, kHeight - 6, "middle", "label", plot_.x_label);
  }

  std::vector<double> named_ticks() const {
    std::vector<double> ticks;
    for (size_t i = 0; i < plot_.x_names.size(); ++i) ticks.push_back(static_cast<double>(i));
    return ticks;
  }

  /// Labels that are too wide to stand side by side take turns in two rows.
  void draw_x_axis(const std::vector<double>& ticks, const std::vector<std::string>& labels) {
    std::string axis = fmt::format("M{} {}h{}", kLeft, bottom(), kInnerWidth);
    size_t longest = 0;
    for (const std::string& label : labels) longest = std::max(longest, label.size());
    const double room = kInnerWidth / static_cast<double>(std::max<size_t>(1, ticks.size()));
    const bool crowded = static_cast<double>(longest + 1) * kCharacter > room;
    for (size_t i = 0; i < ticks.size(); ++i) {
      axis += fmt::format("M{:.1f} {}v4", px(ticks[i]), bottom());
      const double row = crowded ? (i % 2 == 0 ? 13 : 24) : 17;
      text(px(ticks[i]), bottom() + row, "middle", "tick", labels[i]);
    }
    out_ += fmt::format(R"(<path class="axis" d="{}"/>)", axis);
  }

  void draw_band(const Band& band) {
    const size_t count = std::min({band.x.size(), band.low.size(), band.high.size()});
    std::string upper, lower;
    for (size_t i = 0; i < count; ++i) {
      if (!std::isfinite(band.low[i]) || !std::isfinite(band.high[i])) continue;
      upper += fmt::format("{}{:.1f} {:.1f}", upper.empty() ? "M" : "L", px(band.x[i]),
                           py(band.high[i]));
      lower = fmt::format("L{:.1f} {:.1f}", px(band.x[i]), py(band.low[i])) + lower;
    }
    if (upper.empty()) return;
    out_ +=
        fmt::format(R"(<path class="band {}" d="{}{}Z"/>)", color_class(band.style), upper, lower);
  }

  void draw_line(double x1, double y1, double x2, double y2, const Mark& mark) {
    out_ += fmt::format(R"(<path class="mark {}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>)",
                        color_class(mark.style), x1, y1, x2, y2);
  }

  void draw_series(const Series& series) {
    std::string path;
    bool pen_down = false;
    for (const Point& point : series.points) {
      if (!drawable_point(point)) {
        pen_down = false;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", px(point.x), py(point.y));
      pen_down = true;
    }
    if (path.empty()) return;
    const char* const style = series.line == LineStyle::thin     ? "thin"
                              : series.line == LineStyle::dashed ? "dashed"
                                                                 : "line";
    out_ += fmt::format(R"(<path class="{} {}" d="{}")", style, color_class(series.style), path);
    out_ += series.label.empty() ? "/>"
                                 : fmt::format("><title>{}</title></path>", escape(series.label));
  }

  void draw_markers(const Series& series) {
    std::vector<const Point*> points;
    for (const Point& point : series.points) {
      if (inside(point)) points.push_back(&point);
    }
    // A thin line without a label of its own belongs to a marked one.
    const bool beside_another = series.line == LineStyle::thin && series.label.empty();
    if (beside_another || series.line == LineStyle::dashed) points.clear();
    if (series.line != LineStyle::marked) points = spread_out(points, series.style);
    for (const Point* const point : points) {
      if (point->spread > 0) draw_whisker(*point, series.style);
      out_ += marker(series.style, px(point->x), py(point->y), about(*point, series.label));
    }
  }

  /// A few of the points, at other places for each style, so that lines which run together show
  /// all their markers.
  static std::vector<const Point*> spread_out(const std::vector<const Point*>& points,
                                              size_t style) {
    if (points.size() <= kSpacedMarkers) return points;
    std::vector<const Point*> few;
    const double shift = static_cast<double>(style % kMarkers + 1) / (kMarkers + 1);
    for (size_t i = 0; i < kSpacedMarkers; ++i) {
      const double part = (static_cast<double>(i) + shift) / static_cast<double>(kSpacedMarkers);
      few.push_back(points[static_cast<size_t>(part * static_cast<double>(points.size()))]);
    }
    return few;
  }

  /// "S0: 2.161 ± 0.002 at 400"
  std::string about(const Point& point, const std::string& label) const {
    const std::string spread =
        point.spread > 0 ? fmt::format(" ± {}", significant(point.spread, 2)) : std::string();
    return fmt::format("{}: {}{} at {}", label, significant(point.y), spread, x_text(point.x));
  }

  std::string x_text(double x) const {
    const auto index = static_cast<size_t>(std::llround(std::max(0.0, x)));
    if (index < plot_.x_names.size()) return plot_.x_names[index];
    return plot_.x_whole ? grouped(std::llround(x)) : grouped_number(x);
  }

  void draw_whisker(const Point& point, size_t style) {
    const double x = px(point.x), low = py(point.y - point.spread),
                 high = py(point.y + point.spread);
    out_ += fmt::format(R"(<path class="whisker {}" d="M{:.1f} {:.1f}h6m-3 0V{:.1f}m-3 0h6"/>)",
                        color_class(style), x - 3, high, low);
  }

  void draw_best(const Point& point) {
    const double x = px(point.x), y = py(point.y);
    out_ += fmt::format(R"(<circle class="best" cx="{:.1f}" cy="{:.1f}" r="7.5"/>)", x, y);
    text(x, y < kTop + 24 ? y + 20 : y - 11, "middle", "note", "best");
  }

  /// Labels of vertical marks, above the curves. One that would overlap an earlier one is left out.
  void draw_vertical_labels() {
    std::vector<double> taken;
    for (const Mark& mark : plot_.vertical) {
      const double x = px(mark.at);
      const auto near = [x](double other) { return std::abs(other - x) < 34; };
      if (x < kLeft || x > kLeft + kInnerWidth || std::any_of(taken.begin(), taken.end(), near)) {
        continue;
      }
      taken.push_back(x);
      text(x, kTop - 4, "middle", "note", mark.label);
    }
  }

  /// Labels of horizontal marks, at the right end above the line, or below it if a curve ends
  /// there.
  void draw_horizontal_labels() {
    std::vector<double> taken;
    for (const Mark& mark : plot_.horizontal) {
      const double y = py(mark.at);
      const auto near = [y](double other) { return std::abs(other - y) < 13; };
      if (std::any_of(taken.begin(), taken.end(), near)) continue;
      taken.push_back(y);
      const auto ends_above = [&](const Series& series) {
        if (series.points.empty()) return false;
        const double end = py(series.points.back().y);
        return end < y - 1 && end > y - 20;
      };
      const bool below = std::any_of(plot_.series.begin(), plot_.series.end(), ends_above);
      text(kLeft + kInnerWidth - 2, below ? y + 12 : y - 4, "end", "note", mark.label);
    }
  }

  void text(double x, double y, const char* anchor, const char* style, const std::string& content) {
    if (content.empty()) return;
    out_ += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>)", x,
                        y, anchor, style, escape(content));
  }

  const Plot& plot_;
  const Range x_, y_;
  std::string out_;
};

}  // namespace

bool is_empty(const Plot& plot) {
  return std::none_of(plot.series.begin(), plot.series.end(), [](const Series& series) {
    return std::any_of(series.points.begin(), series.points.end(), drawable_point);
  });
}

std::string render(const Plot& plot) { return Drawing(plot).render(); }

std::string chart_grid(const std::vector<Plot>& plots) {
  std::string html;
  for (const Plot& plot : plots) {
    if (!is_empty(plot)) html += render(plot);
  }
  return html.empty() ? html : "<div class=\"charts\">\n" + html + "</div>\n";
}

}  // namespace ssa::report
