#pragma once

#include <string>

namespace ssa {

/// Adds up how long training steps take, and how long they wait for their data.
class DataWait {
 public:
  void add_wait(double seconds) { waited_ += seconds; }
  void add_step(double seconds) { stepped_ += seconds; }

  /// Seconds of waiting since the last call of take().
  double waited() const { return waited_; }
  /// "data 12 %" if more than 1 % of the time of steps since take() was waiting; otherwise empty.
  std::string text() const;
  /// Returns waited() and begins again.
  double take();

 private:
  double waited_ = 0, stepped_ = 0;
};

}  // namespace ssa
