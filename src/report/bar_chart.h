#pragma once

#include <string>
#include <vector>

namespace ssa::report {

struct Bar {
  std::string label;
  double value = 0;   ///< a negative one, or one that is not finite, has no length
  std::string about;  ///< shown under the mouse
};

/// Horizontal bars below each other, each with its label and value.
struct BarChart {
  std::string title = {};
  size_t style = 0;    ///< see color_class()
  double longest = 1;  ///< the value of a bar of full length
  std::vector<Bar> bars = {};
};

/// An HTML figure with a caption and an SVG that fills its width. Text is escaped here.
std::string render(const BarChart& chart);

}  // namespace ssa::report
