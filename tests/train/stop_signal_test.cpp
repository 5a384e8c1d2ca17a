#include "ssa/train/stop_signal.h"

#include <chrono>
#include <csignal>
#include <vector>

#include <catch2/catch.hpp>
#include <omp.h>

#include "ssa/backend/backend.h"

#include "train/signal_self.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

volatile std::sig_atomic_t outer_calls = 0;
void outer_handler(int) { outer_calls = outer_calls + 1; }

}  // namespace

TEST_CASE("each of the three signals asks for a stop, a second one changes nothing") {
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) {
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
           sigismember(&mask, SIGUSR1) == 1;
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
