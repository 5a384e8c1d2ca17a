#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ssa {

/// "1h02m", "3m20s", "12s"
std::string format_duration(double seconds);

/// As much of a line of UTF-8 as fits into `columns`, each character counted as one.
std::string fit_line(const std::string& line, int columns);

/// How far a long job is. On a terminal one line that is written over, otherwise a log line now
/// and then; nothing when quiet.
class Progress {
 public:
  /// `done` of `total` units are behind us already (a resumed run). When not on a terminal,
  /// `log_interval` without a line is followed by one.
  Progress(std::string label, int64_t total, int64_t done = 0,
           std::chrono::duration<double> log_interval = std::chrono::seconds(15));
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `details` is shown behind the counter, before the time left. With `log`, a line is logged in
  /// any case; on a terminal, where it is seen already, at level debug, for the log file.
  void update(int64_t done, const std::string& details, bool log);
  /// Ends the line on a terminal, so that something else can be printed.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  int64_t total_;
  int64_t first_;
  bool terminal_;
  bool dirty_ = false;
  std::chrono::duration<double> log_interval_;
  Clock::time_point started_;
  Clock::time_point logged_;
};

}  // namespace ssa
