#include "ssa/train/stop_signal.h"

#include <chrono>
#include <csignal>
#include <functional>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <omp.h>
#include <sys/wait.h>

#include "ssa/backend/backend.h"

#include "train/signal_self.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

volatile std::sig_atomic_t outer_calls = 0;
void outer_handler(int) { outer_calls = outer_calls + 1; }

}  // namespace

#ifndef __SANITIZE_THREAD__  // which has no threads after a fork

namespace {

/// What becomes of a process that runs `body`: its exit code, or 128 + the signal that killed it.
int fate_of(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDERR_FILENO);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void sleep_ms(int64_t milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

constexpr auto kAsBefore = StopSignal::Afterwards::as_before;

}  // namespace

TEST_CASE("a program that has never asked has nothing to save: the first signal ends it") {
  CHECK(fate_of([] {
          const StopSignal stop;
          ::kill(::getpid(), SIGTERM);
          sleep_ms(60000);  // as when it opens a pipe that nobody writes to
        }) == 75);
}

TEST_CASE("a second signal ends what has not noticed the first, and nothing else") {
  const auto two_signals = [](bool notices, int64_t patience) {
    return fate_of([=] {
      const StopSignal stop(kAsBefore, std::chrono::milliseconds(patience));
      StopSignal::requested();
      ::kill(::getpid(), SIGTERM);
      while (StopSignal::number() == 0) sleep_ms(1);
      if (notices) StopSignal::requested();
      sleep_ms(50);
      ::kill(::getpid(), SIGINT);
      sleep_ms(patience > 1000 || notices ? 50 : 60000);
    });
  };
  CHECK(two_signals(false, 1) == 128 + SIGINT);
  CHECK(two_signals(false, 1000000) == 0);  // too soon: it may still be in its step
  CHECK(two_signals(true, 1) == 0);         // it is saving
}

TEST_CASE("a program that waits for what may never come ends at a signal, early or late") {
  const auto waits = [](bool signal_comes_first) {
    return fate_of([=] {
      const StopSignal stop;
      StopSignal::requested();
      if (signal_comes_first) {
        ::kill(::getpid(), SIGTERM);
        while (StopSignal::number() == 0) sleep_ms(1);
      }
      StopSignal::nothing_to_save();
      if (!signal_comes_first) ::kill(::getpid(), SIGTERM);
      sleep_ms(60000);
    });
  };
  CHECK(waits(false) == 75);
  CHECK(waits(true) == 75);
}

TEST_CASE("a program that returns its exit code does not die of one signal more") {
  CHECK(fate_of([] {
          {
            const StopSignal stop(StopSignal::Afterwards::ignored);
            StopSignal::requested();
          }
          for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) ::kill(::getpid(), number);
        }) == 0);
}

TEST_CASE("SIGHUP that was ignored stays so") {
  CHECK(fate_of([] {
          ::signal(SIGHUP, SIG_IGN);
          const StopSignal stop;
          ::kill(::getpid(), SIGHUP);
          sleep_ms(50);
        }) == 0);
}

#endif

TEST_CASE("each of the signals asks for a stop, a second one changes nothing") {
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) {
    const StopSignal stop;
    CHECK_FALSE(StopSignal::requested());
    CHECK(StopSignal::number() == 0);
    signal_self(number);
    ::kill(::getpid(), SIGINT);
    ::kill(::getpid(), number);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(StopSignal::number() == number);
  }
}

TEST_CASE("threads that compute do not get the signals") {
  const auto gets_none = [] {
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    return sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1 &&
           sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGHUP) == 1;
  };
  CHECK_FALSE(gets_none());
  {
    const StopSignal stop;
    CHECK(gets_none());
    bool started_later = false;
    std::thread([&] { started_later = gets_none(); }).join();
    CHECK(started_later);
  }
  CHECK_FALSE(gets_none());
}

TEST_CASE("signals during matrix products leave memory alone") {
  omp_set_num_threads(1);  // threads of earlier tests may get signals
  const StopSignal stop;
  REQUIRE_FALSE(StopSignal::requested());
  std::atomic<bool> done = false;
  std::thread sender([&] {
    while (!done) {
      ::kill(::getpid(), SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  });
  const Tensor a = Tensor::zeros({512, 48}, DType::f32, Device::cpu);
  for (int i = 0; i < 3000; ++i) {  // where a signal strikes memory, allocating soon fails
    const std::vector<float> struck(20000);
    const Tensor out = Tensor::empty({48, 48}, DType::f32, Device::cpu);
    backend(Device::cpu).matmul({.a = a, .b = a, .transpose_a = true, .out = out});
  }
  done = true;
  sender.join();
  CHECK(StopSignal::number() == SIGUSR1);
}

TEST_CASE("the previous handlers are restored afterwards") {
  const auto before = std::signal(SIGTERM, outer_handler);
  { const StopSignal stop; }
  outer_calls = 0;
  std::raise(SIGTERM);
  CHECK(outer_calls == 1);
  std::signal(SIGTERM, before);
}
