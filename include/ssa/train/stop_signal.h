#pragma once

#include <atomic>
#include <csignal>
#include <thread>

namespace ssa {

/// While one exists, SIGINT, SIGTERM and SIGUSR1 ask for a stop instead of killing the process:
/// training finishes its step, saves and ends with exit code 75. A second signal changes nothing,
/// so that a save is never cut short; SIGKILL still kills, and the last checkpoint survives it.
///
/// A thread of its own receives them; the thread that makes one, and those that it starts from then
/// on, never do. oneDNN's kernels keep a pointer into the heap in the stack register (issue 4845
/// there): a signal that met a thread inside one would overwrite memory there.
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

 private:
  std::atomic<bool> over_ = false;
  std::thread receiver_;
  sigset_t mask_before_;
};

}  // namespace ssa
