#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/ticks.h"

namespace ssa::report {

struct Point {
  double x = 0;
  double y = 0;  ///< NaN: a gap in the line
};

enum class LineStyle {
  thin,    ///< many points, such as a training loss
  marked,  ///< a dot at each point that shows its values under the mouse
  plain,
  dashed
};

struct Series {
  std::string label = {};
  size_t color = 0;  ///< see color_class()
  LineStyle style = LineStyle::plain;
  std::vector<Point> points = {};  ///< ascending x
};

/// The area between two curves over the same x.
struct Band {
  size_t color = 0;
  std::vector<double> x = {};
  std::vector<double> low = {};
  std::vector<double> high = {};
};

/// A dashed line across the plot with a label.
struct Mark {
  double at = 0;
  size_t color = 0;
  std::string label = {};
};

/// A chart with linear axes.
struct Plot {
  std::string title = {};
  std::string x_label = {};  ///< with its unit
  std::string y_label = {};
  std::vector<Series> series = {};
  std::vector<Band> bands = {};
  std::vector<Mark> vertical = {};    ///< at an x
  std::vector<Mark> horizontal = {};  ///< at a y
  bool x_from_zero = true;
  bool x_whole = false;  ///< x counts something: ticks at whole numbers only
  bool y_from_zero = false;
  bool crowded = false;               ///< draw thin lines faintly
  std::optional<double> y_most = {};  ///< the upper end of the y axis; higher values are cut off
};

/// True if there is nothing to draw.
bool is_empty(const Plot& plot);

/// An HTML figure with a caption and an SVG that fills its width. Text is escaped here.
std::string render(const Plot& plot);

}  // namespace ssa::report
