#include "ssa/train/stop_signal.h"

#include <csignal>

#include <catch2/catch.hpp>

using namespace ssa;

namespace {

volatile std::sig_atomic_t outer_calls = 0;
void outer_handler(int) { outer_calls = outer_calls + 1; }

}  // namespace

TEST_CASE("each of the three signals asks for a stop, a second one changes nothing") {
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) {
    const StopSignal stop;
    CHECK_FALSE(StopSignal::requested());
    CHECK(StopSignal::number() == 0);
    std::raise(number);
    CHECK(StopSignal::requested());
    std::raise(SIGINT);
    std::raise(number);
    CHECK(StopSignal::number() == number);
  }
}

TEST_CASE("the handlers from before are back afterwards") {
  const auto before = std::signal(SIGTERM, outer_handler);
  { const StopSignal stop; }
  outer_calls = 0;
  std::raise(SIGTERM);
  CHECK(outer_calls == 1);
  std::signal(SIGTERM, before);
}
