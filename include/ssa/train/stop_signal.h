#pragma once

namespace ssa {

/// While one exists, SIGINT, SIGTERM and SIGUSR1 ask for a stop instead of killing the process:
/// training finishes its step, saves and ends with exit code 75. A second signal changes nothing,
/// so that a save is never cut short; SIGKILL still kills, and the last checkpoint survives it.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// True once a signal has arrived.
  static bool requested();
  /// Its number; 0 before.
  static int number();
};

}  // namespace ssa
