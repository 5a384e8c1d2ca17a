#pragma once

#include <array>
#include <string>

#include "ssa/data/prepare.h"

namespace ssa {

/// Where the text of a split is.
struct SplitSource {
  std::string path;
  std::string member;  ///< of an archive; empty: the file itself
  /// "path" or "path (member)", for messages.
  std::string label() const { return member.empty() ? path : path + " (" + member + ")"; }
};

/// Finds the file of each split among the inputs: in folders, in archives, or given itself. Throws
/// DataError if one is missing or several can be meant.
std::array<SplitSource, 3> settle_word_inputs(const PrepareOptions& options);

}  // namespace ssa
