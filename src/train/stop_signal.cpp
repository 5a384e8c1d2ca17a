#include "ssa/train/stop_signal.h"

#include <array>
#include <csignal>
#include <cstring>

#include <unistd.h>

namespace ssa {

namespace {

std::atomic<int> arrived = 0;
static_assert(std::atomic<int>::is_always_lock_free, "may be set by a signal handler");
constexpr std::array kSignals = {SIGINT, SIGTERM, SIGUSR1};
std::array<struct sigaction, kSignals.size()> previous;

/// Runs on the receiving thread, and as a signal handler on threads that existed before.
void on_signal(int number) {
  int none = 0;
  if (!arrived.compare_exchange_strong(none, number)) return;
  constexpr char kMessage[] = "\nstopping cleanly; SIGKILL gives up at once\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
}

sigset_t signal_set() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : kSignals) sigaddset(&signals, number);
  return signals;
}

}  // namespace

StopSignal::StopSignal() {
  arrived = 0;
  struct sigaction action;
  std::memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &previous[i]);
  const sigset_t signals = signal_set();
  pthread_sigmask(SIG_BLOCK, &signals, &mask_before_);
  receiver_ = std::thread([this, signals] {
    for (int number = 0; sigwait(&signals, &number) == 0 && !over_;) on_signal(number);
  });
}

StopSignal::~StopSignal() {
  over_ = true;
  pthread_kill(receiver_.native_handle(), kSignals.front());
  receiver_.join();
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

bool StopSignal::requested() { return arrived != 0; }
int StopSignal::number() { return arrived; }

}  // namespace ssa
