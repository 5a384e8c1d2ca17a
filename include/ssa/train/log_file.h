#pragma once

#include <memory>
#include <string>

namespace ssa {

/// Prints log messages of at least `level` (debug, info, warn or error) to standard error. The
/// level applies to the console only; a LogFile also gets the messages below it. On a terminal
/// levels have colours, unless NO_COLOR is set.
void set_up_console_log(const std::string& level);
/// Call this on each of several ranks. Rank 0 prints as before; the other ranks print only warnings
/// and errors, with the rank in front. Log files get everything.
void log_as_rank(int rank, int size);
/// Whether standard error shows messages of level info.
bool console_shows_info();
/// Whether standard error is a terminal on which a line can be written over.
bool console_moves_cursor();

/// While one exists, all log messages are also appended to a file, with date, time and UTC offset.
class LogFile {
 public:
  /// Throws CheckpointError if the file cannot be opened.
  explicit LogFile(const std::string& path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// Writes a message to the file only: for the error that ends the program and is printed by it.
  void error(const std::string& message) noexcept;

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

}  // namespace ssa
