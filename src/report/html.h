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

/// For color_class(): not the colour of a run.
inline constexpr size_t kNoColor = static_cast<size_t>(-1);

/// Class names that give an element the colour of run `index`. There are eight colours. Lines are
/// dashed from the ninth run on, dotted from the seventeenth, and so on in turn.
std::string color_class(size_t index);

}  // namespace ssa::report
