#pragma once

#include <array>
#include <string>
#include <vector>

#include "ssa/data/prepare.h"

#include "text_source.h"

namespace ssa {

/// The texts that a data set is made of: those of each split, or those that are put together and
/// then divided.
struct TextInputs {
  std::array<std::vector<TextSource>, 3> named;  ///< by the splits that their names state
  std::vector<TextSource> together;              ///< empty if names state the splits

  bool by_name() const { return together.empty(); }
  const std::vector<TextSource>& of(Split split) const { return named[static_cast<size_t>(split)]; }
  /// In the order in which they are read.
  std::vector<TextSource> all() const;
};

/// Finds the texts among the inputs of `enwik8`, `bytes`, words and `ids`. A folder stands for the
/// files in it and below, in the order of their names. If there are train.txt and valid.txt or
/// test.txt (with more before or behind it, as in wiki.train.tokens), names state the splits and
/// other files of a folder are left out; otherwise, and if options.texts.split is given, all files
/// are put together in order. Calls `note` with each choice. Throws DataError if a split has no
/// file, or several that cannot all be meant.
TextInputs settle_text_inputs(const PrepareOptions& options);

}  // namespace ssa
