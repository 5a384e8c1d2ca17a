#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace ssa {

/// "1h02m", "3m20s", "12s"
std::string format_duration(double seconds);

/// Cuts a line of UTF-8 to `columns` characters.
std::string fit_line(const std::string& line, int columns);

/// Cuts a line that is made of `parts`, which two blanks separate: a counter, details with the most
/// important first and the speed last, and the time left. Whole parts are left out: first the
/// details but for the first one, from their end; then the speed, then that detail.
std::string fit_line(std::vector<std::string> parts, int columns);

/// Shows the progress of a long job: on a terminal as one line that is rewritten in place,
/// otherwise as a log line from time to time. Quiet logs show nothing.
class Progress {
 public:
  /// A resumed run begins at `done` of `total` units. Off a terminal, a line is logged when
  /// `log_interval` has passed since the last one.
  Progress(std::string label, int64_t total, int64_t done = 0,
           std::chrono::duration<double> log_interval = std::chrono::seconds(15));
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows `details`, parts that two blanks separate, between the counter and the time left. With
  /// `log`, the line is always logged; on a terminal at level debug, so that it only goes to the
  /// log file.
  void update(int64_t done, const std::string& details, bool log);
  /// Erases the line on a terminal, so that other text can be printed.
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
