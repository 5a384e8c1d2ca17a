#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ssa::report {

/// Text for an HTML or SVG document, in an element or a quoted attribute. Bytes that are no UTF-8
/// and control characters other than newline and tab become U+FFFD.
std::string escape(std::string_view text);

/// The first `limit` bytes of `text`, less what would cut a UTF-8 character.
std::string_view cut(std::string_view text, size_t limit);

/// `text` as one word of a shell command line, quoted where it has to be.
std::string shell_word(std::string_view text);

/// A table whose cells are HTML already. The first column and the first row are headings.
struct Table {
  std::vector<std::vector<std::string>> rows;
  bool numbers = false;              ///< align all but the first column to the right
  bool by_run = false;               ///< each row is a run, whose name may be long
  std::vector<size_t> set_off = {};  ///< rows that are no run's, such as a published one
};
/// In a box that scrolls sideways on narrow screens.
std::string render(const Table& table);
Table transposed(const Table& table);

/// For color_class(): of no run.
inline constexpr size_t kNoColor = static_cast<size_t>(-1);

/// Class names that give an element the colour of run `index`. The eight colours repeat; from the
/// ninth run on lines are dashed, from the seventeenth dotted, then both in turn.
std::string color_class(size_t index);

}  // namespace ssa::report
