#pragma once

#include <array>
#include <string>

#include "ssa/data/prepare.h"

namespace ssa {

/// The file, or the member of an archive, with the text of a split.
struct SplitSource {
  std::string path;
  std::string member;  ///< of an archive; empty: the file itself
  /// "path" or "path (member)", for messages.
  std::string label() const { return member.empty() ? path : path + " (" + member + ")"; }
};

/// Finds the file of each split among the inputs, which may be folders, archives or the files
/// themselves. Throws DataError if a split has no file, or several.
std::array<SplitSource, 3> settle_word_inputs(const PrepareOptions& options);

}  // namespace ssa
