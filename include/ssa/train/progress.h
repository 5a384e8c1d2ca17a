#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ssa {

/// "1h02m", "3m20s", "12s"
std::string format_duration(double seconds);

/// How far a long job is. On a terminal one line that is written over, otherwise a log line now
/// and then; nothing when quiet.
class Progress {
 public:
  /// `done` of `total` units are behind us already (a resumed run).
  Progress(std::string label, int64_t total, int64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `details` is shown behind the counter, before the time left. With `log`, a line is logged
  /// even when not on a terminal.
  void update(int64_t done, const std::string& details, bool log);
  /// Ends the line on a terminal, so that something else can be printed.
  void clear();

 private:
  std::string label_;
  int64_t total_;
  int64_t first_;
  bool terminal_;
  bool dirty_ = false;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace ssa
