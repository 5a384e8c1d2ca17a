#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/ticks.h"

namespace ssa::report {

struct Point {
  double x = 0;
  double y = 0;       ///< NaN: a gap in the line
  double spread = 0;  ///< drawn as a whisker to either side of y
};

enum class LineStyle {
  thin,    ///< many points, such as a training loss
  marked,  ///< a marker at each point that shows its values under the mouse
  spaced,  ///< a few markers along the line, to know it by
  dashed   ///< what others are compared with: no markers
};

struct Series {
  std::string label = {};
  size_t style = 0;  ///< colour and marker, see html.h
  LineStyle line = LineStyle::spaced;
  std::vector<Point> points = {};  ///< ascending x
};

/// The area between two curves over the same x.
struct Band {
  size_t style = 0;
  std::vector<double> x = {};
  std::vector<double> low = {};
  std::vector<double> high = {};
};

/// A dashed line across the plot with a label.
struct Mark {
  double at = 0;
  size_t style = 0;
  std::string label = {};
};

/// A chart with linear axes.
struct Plot {
  std::string title = {};
  std::string x_label = {};  ///< with its unit
  std::string y_label = {};
  std::vector<Series> series = {};
  std::vector<Band> bands = {};
  std::vector<Mark> vertical = {};        ///< at an x
  std::vector<Mark> horizontal = {};      ///< at a y
  std::optional<Point> best = {};         ///< gets a ring
  std::vector<std::string> x_names = {};  ///< of the values 0, 1, … of x, in place of numbers
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

/// The charts that are not empty, side by side. Empty if there are none.
std::string chart_grid(const std::vector<Plot>& plots);

}  // namespace ssa::report
