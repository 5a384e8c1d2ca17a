#pragma once

#include <array>

#include "folder_writer.h"
#include "text_inputs.h"

namespace ssa {

/// The text of each split of words: the named inputs themselves, or what is put together from the
/// inputs and cut between lines. Tables and several files are first copied into a file of the
/// folder that is being made; it goes when the object does.
class WordTexts {
 public:
  /// Throws DataError if there are too few lines for a split.
  WordTexts(const PrepareOptions& options, const TextInputs& inputs, FolderWriter& writer);
  ~WordTexts();
  WordTexts(const WordTexts&) = delete;
  WordTexts& operator=(const WordTexts&) = delete;

  const std::array<TextSource, 3>& sources() const { return sources_; }

 private:
  void copy_named(const PrepareOptions& options, const TextInputs& inputs);
  TextSource copy(const PrepareOptions& options, const std::vector<TextSource>& from,
                  const std::string& file_name);

  FolderWriter& writer_;
  std::array<TextSource, 3> sources_;
  std::vector<std::string> copies_;
};

}  // namespace ssa
