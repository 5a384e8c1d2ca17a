#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ssa::report {

/// A figure of probabilities over two axes, in a stronger colour where they are higher, with the
/// colour scale beside it.
struct HeatMap {
  /// A rectangle in the units of the axes.
  struct Frame {
    double top = 0, left = 0, bottom = 0, right = 0;
  };
  struct Axis {
    std::string label = {};
    size_t cells = 0;
    double end = 0;  ///< what the cells count, from 0
  };
  /// Words inside the figure, centred on a point.
  struct Note {
    std::string text = {};
    double down = 0, across = 0;  ///< fractions of the sides
  };

  std::string title = {};
  std::string description = {};  ///< for readers who do not see the figure
  Axis down = {}, across = {};
  std::vector<double> probability = {};  ///< (down.cells, across.cells); NaN: not possible
  std::vector<Frame> dashed = {}, solid = {};
  Note note = {};
};

/// An HTML figure with a square SVG. Text is escaped here.
std::string render(const HeatMap& map);

}  // namespace ssa::report
