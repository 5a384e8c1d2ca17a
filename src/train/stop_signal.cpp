#include "ssa/train/stop_signal.h"

#include <array>
#include <csignal>
#include <cstring>

#include <unistd.h>

namespace ssa {

namespace {

volatile std::sig_atomic_t arrived = 0;
constexpr std::array kSignals = {SIGINT, SIGTERM, SIGUSR1};
std::array<struct sigaction, kSignals.size()> previous;

void on_signal(int number) {
  if (arrived != 0) return;
  arrived = number;
  constexpr char kMessage[] = "\nstopping cleanly; SIGKILL gives up at once\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
}

}  // namespace

StopSignal::StopSignal() {
  arrived = 0;
  struct sigaction action;
  std::memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

StopSignal::~StopSignal() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

bool StopSignal::requested() { return arrived != 0; }
int StopSignal::number() { return arrived; }

}  // namespace ssa
