#pragma once

#include <memory>
#include <string>

namespace ssa {

/// Sends the log to standard error, messages from `level` on: debug, info, warn or error. The
/// level is the console's alone: a LogFile gets what the console does not show.
void set_up_console_log(const std::string& level);
/// For one of several ranks: the console shows messages of rank 0 as they are, and of others only
/// from warnings on, with the rank in front. Log files get everything.
void log_as_rank(int rank, int size);
/// Whether standard error shows messages of level info.
bool console_shows_info();

/// While one exists, log messages from debug on also go to a file, with date and time, behind what
/// is there already.
class LogFile {
 public:
  /// Throws CheckpointError if the file cannot be opened.
  explicit LogFile(const std::string& path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// For the error that ends the program, which prints it itself: a message for the file alone.
  void error(const std::string& message) noexcept;

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

}  // namespace ssa
