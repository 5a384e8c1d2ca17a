#include "ssa/train/stop_signal.h"

#include <array>
#include <cstring>
#include <string_view>

#include <unistd.h>

#include "ssa/core/error.h"

namespace ssa {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};
std::array<struct sigaction, kSignals.size()> previous;

std::atomic<bool> polled = false;   // the program asks now and then: it has something to finish
std::atomic<int> arrived = 0;       // number of the first signal
std::atomic<bool> noticed = false;  // the program has been told of it
std::atomic<Clock::rep> arrived_at = 0, patience = 0;  // ticks of the clock
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<Clock::rep>::is_always_lock_free,
              "may be set by a signal handler");

void say(std::string_view text) {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Ends the process as the signal does by default.
void die_of(int number) {
  ::signal(number, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, number);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(number);
}

[[noreturn]] void end_program() {
  say("\nstopped before there was anything to save\n");
  ::_exit(static_cast<int>(ExitCode::interrupted));
}

/// Runs on the receiving thread, and as a signal handler on threads that existed before.
void on_signal(int number) {
  if (!polled) end_program();
  const Clock::rep now = Clock::now().time_since_epoch().count();
  int none = 0;
  if (arrived.compare_exchange_strong(none, number)) {
    arrived_at = now;
    say("\nstopping cleanly; SIGKILL gives up at once\n");
  } else if (!noticed && arrived_at != 0 && now - arrived_at > patience) {
    say("\nthe program has not noticed the first signal: ending without saving\n");
    die_of(number);
  }
}

/// Who starts a program with SIGHUP ignored (nohup) wants it to survive its terminal.
bool is_left_alone(size_t i) { return kSignals[i] == SIGHUP && previous[i].sa_handler == SIG_IGN; }

/// Makes on_signal() the handler of all signals that are not left alone, and returns these.
sigset_t handle_signals() {
  struct sigaction action;
  std::memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigset_t handled;
  sigemptyset(&handled);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &previous[i]);
    if (is_left_alone(i)) continue;
    sigaction(kSignals[i], &action, nullptr);
    sigaddset(&handled, kSignals[i]);
  }
  return handled;
}

}  // namespace

StopSignal::StopSignal(Afterwards afterwards, std::chrono::milliseconds patience_with_program)
    : afterwards_(afterwards) {
  polled = noticed = false;
  arrived = 0;
  arrived_at = 0;
  patience = Clock::duration(patience_with_program).count();
  signals_ = handle_signals();
  pthread_sigmask(SIG_BLOCK, &signals_, &mask_before_);
  receiver_ = std::thread([this] {
    for (int number = 0; sigwait(&signals_, &number) == 0 && !over_;) on_signal(number);
  });
}

StopSignal::~StopSignal() {
  over_ = true;
  pthread_kill(receiver_.native_handle(), kSignals.front());
  receiver_.join();
  // What came before this moment is for this object, though the receiver has ended first: the
  // handlers of before could end the program.
  const timespec at_once{};
  while (sigtimedwait(&signals_, nullptr, &at_once) > 0) {
  }
  for (size_t i = 0; i < kSignals.size(); ++i) {
    if (is_left_alone(i)) continue;
    if (afterwards_ == Afterwards::ignored) {
      ::signal(kSignals[i], SIG_IGN);
    } else {
      sigaction(kSignals[i], &previous[i], nullptr);
    }
  }
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  arrived = 0;  // what it asked to stop is over
}

void StopSignal::end_program_meanwhile() { handle_signals(); }

void StopSignal::nothing_to_save() {
  polled = false;
  if (arrived != 0) end_program();
}

bool StopSignal::requested() {
  polled = true;
  if (arrived == 0) return false;
  noticed = true;
  return true;
}

int StopSignal::number() { return arrived; }

}  // namespace ssa
