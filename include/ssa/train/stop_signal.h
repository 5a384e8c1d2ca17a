#pragma once

#include <atomic>
#include <csignal>
#include <thread>

namespace ssa {

/// While one exists, SIGINT, SIGTERM and SIGUSR1 request a stop instead of killing the process:
/// training finishes its step, saves and ends with exit code 75. A second signal changes nothing,
/// so a save is never cut short. SIGKILL still kills; the last checkpoint survives it.
///
/// A thread of its own receives the signals. They are blocked in the thread that makes a StopSignal
/// and in all threads that it starts later. The reason is oneDNN: its kernels keep a heap pointer
/// in the stack register (oneDNN issue 4845), so a signal handler on their thread would overwrite
/// the heap.
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
