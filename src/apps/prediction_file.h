#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ssa/storage/file_io.h"

namespace ssa {

/// The file of `ssa-eval --predictions`, or of another option that writes lines: it grows while
/// items are scored, and takes its place when it is complete. Nothing is left of it without
/// finish().
class PredictionFile {
 public:
  /// "-" is standard output. Waits for the reader of a pipe; a signal ends the program meanwhile.
  /// Throws ConfigError if the file cannot be written.
  explicit PredictionFile(const std::string& path, std::string option = "--predictions");
  /// Adds a line. If that fails, the evaluation goes on: its score should not be lost.
  void add(std::string_view line);
  /// Throws ConfigError if not all lines could be written.
  void finish();

 private:
  std::string path_, option_;
  std::optional<FileReplacement> replacement_;  // empty for standard output
  std::optional<std::string> failure_;
};

}  // namespace ssa
