#include "ssa/sampling/plan_queue.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"

#include "sampling/plan_testing.h"

namespace ssa {
namespace {

std::vector<SourcePlan> plans_of(int64_t step) {
  std::vector<SourcePlan> plans;
  for (int64_t layer = 0; layer < 3; ++layer) {
    plans.push_back(
        draw_plan(testing::local_1d(64, 4, 0.1, true), testing::draw_key(step).with_layer(layer)));
  }
  return plans;
}

}  // namespace

TEST_CASE("A queue serves what would have been drawn on the spot", "[queue]") {
  for (const size_t depth : {size_t{0}, size_t{1}, size_t{5}, size_t{100}}) {
    PlanQueue queue(plans_of, 10, 30, depth);
    for (int64_t step = 10; step < 30; ++step) REQUIRE(queue.pop(step) == plans_of(step));
  }
}

TEST_CASE("A queue draws in another thread and not too far ahead", "[queue]") {
  std::atomic<int64_t> drawn = 0;
  std::atomic<bool> same_thread = false;
  const auto here = std::this_thread::get_id();
  PlanQueue queue(
      [&](int64_t step) {
        same_thread = same_thread || std::this_thread::get_id() == here;
        ++drawn;
        return std::vector<SourcePlan>(static_cast<size_t>(step));
      },
      0, 1000, 3);
  for (int64_t step = 0; step < 20; ++step) {
    CHECK(queue.pop(step).size() == static_cast<size_t>(step));
    CHECK(drawn <= step + 1 + 3);
    CHECK(drawn >= step + 1);
  }
  CHECK_FALSE(same_thread);
}

TEST_CASE("Steps are popped one after the other", "[queue]") {
  PlanQueue queue(plans_of, 5, 7);
  CHECK_THROWS_WITH(queue.pop(6), Catch::Contains("step 6") && Catch::Contains("next one is 5"));
  CHECK_THROWS_AS(queue.pop(4), Error);
  CHECK(queue.pop(5) == plans_of(5));  // a refused pop changes nothing
  CHECK_THROWS_AS(queue.pop(5), Error);
  CHECK(queue.pop(6) == plans_of(6));
  CHECK_THROWS_WITH(queue.pop(7), Catch::Contains("last one was 6"));
  PlanQueue nothing(plans_of, 3, 3);
  CHECK_THROWS_AS(nothing.pop(3), Error);
}

TEST_CASE("A failing draw fails the pop of its step", "[queue]") {
  PlanQueue queue(
      [](int64_t step) -> std::vector<SourcePlan> {
        if (step == 2) throw DataError("no plan for step {}", step);
        return plans_of(step);
      },
      0, 10, 8);
  CHECK(queue.pop(0) == plans_of(0));
  CHECK(queue.pop(1) == plans_of(1));
  for (int attempt = 0; attempt < 2; ++attempt) {
    CHECK_THROWS_AS(queue.pop(2), DataError);
    CHECK_THROWS_WITH(queue.pop(2), Catch::Contains("no plan for step 2"));
  }
}

TEST_CASE("A queue with plans left, or a waiting thread, can be destroyed", "[queue]") {
  for (int i = 0; i < 50; ++i) {
    PlanQueue full(plans_of, 0, 1000000, 2);
    if (i % 2 == 0) full.pop(0);
    if (i % 5 == 0) std::this_thread::yield();
  }
  SUCCEED("no hang");
}

TEST_CASE("A pop waits for a slow draw", "[queue]") {
  std::promise<void> release;
  PlanQueue queue(
      [released = release.get_future().share()](int64_t step) {
        released.wait();
        return plans_of(step);
      },
      0, 2);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    release.set_value();
  });
  CHECK(queue.pop(0) == plans_of(0));
  later.join();
}

}  // namespace ssa
