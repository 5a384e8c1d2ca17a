#pragma once

#include <cstddef>
#include <limits>
#include <string_view>

namespace ssa {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal
/// string alignment distance). More than `most` of them are not counted to the end: the result is
/// then some number above it, and found sooner.
size_t edit_distance(std::string_view a, std::string_view b,
                     size_t most = std::numeric_limits<size_t>::max());

/// From so many edits on, a name of this length is another word and no slip.
inline size_t edits_of_another_word(size_t length) {
  return length <= 3 ? 2 : (length / 3 + 1 > 3 ? length / 3 + 1 : 3);
}

}  // namespace ssa
