#pragma once

#include <cstdint>
#include <vector>

#include "byte_tally.h"
#include "folder_writer.h"
#include "prepare_report.h"
#include "text_source.h"

namespace ssa {

/// Copies texts into a file of the folder that is being made, and counts their bytes. With
/// options.texts.column it copies the texts of this column, and ends each with '\n'.
class TextCopier {
 public:
  /// `sources` are all that will be copied, for the progress.
  TextCopier(const PrepareOptions& options, const std::vector<TextSource>& sources,
             FolderWriter& writer);
  /// Throws DataError if the text is empty.
  void copy(const TextSource& source);
  const ByteTally& tally() const { return tally_; }

 private:
  void copy_bytes(const TextSource& source);
  void copy_column(const TextSource& source);
  void write(std::span<const uint8_t> piece);

  const PrepareOptions& options_;
  PrepareReport report_;
  FolderWriter& writer_;
  std::vector<uint8_t> buffer_;
  ByteTally tally_;
  int64_t read_before_ = 0;  // bytes of the sources before this one
};

}  // namespace ssa
