#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ssa::report {

/// Escapes text for HTML or SVG, in an element or a quoted attribute. Invalid UTF-8 and control
/// characters other than newline and tab become U+FFFD.
std::string escape(std::string_view text);

/// The first `limit` bytes of `text`, or fewer so that no UTF-8 character is cut.
std::string_view cut(std::string_view text, size_t limit);

/// The bytes in 64 characters (RFC 4648), for a data URI.
std::string base64(std::string_view bytes);

/// A table whose cells are HTML already. The first column and the first row are headings.
struct Table {
  std::vector<std::vector<std::string>> rows;
  bool numbers = false;              ///< align all but the first column to the right
  bool by_run = false;               ///< each row is a run; names may be long
  std::vector<size_t> set_off = {};  ///< rows that are not runs, such as published ones
};
/// The table in a box that scrolls sideways on narrow screens.
std::string render(const Table& table);
Table transposed(const Table& table);

/// A style tells runs apart: one of eight colours, and one of seven markers for readers who see
/// colours differently. So 56 styles look different; then they repeat.
inline constexpr size_t kColors = 8, kMarkers = 7;

/// For color_class() and marker(): not a run, drawn in grey.
inline constexpr size_t kNoStyle = static_cast<size_t>(-1);

/// The class name that gives an element the colour of a style.
std::string color_class(size_t style);

/// The marker of a style as an SVG element, centred on a point. `about` is shown under the mouse.
std::string marker(size_t style, double x, double y, const std::string& about = {});

}  // namespace ssa::report
