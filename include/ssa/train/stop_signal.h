#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

namespace ssa {

/// While one exists, SIGINT, SIGTERM, SIGUSR1 and SIGHUP (unless it was ignored, as by nohup)
/// request a stop instead of killing the process: training finishes its step, saves and ends with
/// exit code 75. A second signal changes nothing, so a save is never cut short. SIGKILL still
/// kills; the last checkpoint survives it.
///
/// There are two exceptions. A program that has never called requested() has nothing to save yet:
/// the first signal ends it at once, with code 75. A program that has not called requested() since
/// the first signal is stuck: a further signal that comes later than `patience` kills it.
///
/// A thread of its own receives the signals. They are blocked in the thread that makes a StopSignal
/// and in all threads that it starts later. The reason is oneDNN: its kernels keep a heap pointer
/// in the stack register (oneDNN issue 4845), so a signal handler on their thread would overwrite
/// the heap.
class StopSignal {
 public:
  /// What signals do when it is gone: what they did before, or, in a program that is about to
  /// return its exit code, nothing.
  enum class Afterwards { as_before, ignored };

  explicit StopSignal(Afterwards afterwards = Afterwards::as_before,
                      std::chrono::milliseconds patience = std::chrono::seconds(10));
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// From now on the first of these signals ends the program at once, with code 75, until a
  /// StopSignal is made: a program should be answerable from its first instant.
  static void end_program_meanwhile();
  /// The program waits for something that may never come, such as the reader of a pipe, and has
  /// nothing to save: a signal ends it at once, also one that has arrived already.
  static void nothing_to_save();

  /// True once a signal has arrived. Whoever asks goes on asking.
  static bool requested();
  /// Its number; 0 before.
  static int number();

 private:
  Afterwards afterwards_;
  std::atomic<bool> over_ = false;
  sigset_t signals_, mask_before_;
  std::thread receiver_;
};

}  // namespace ssa
