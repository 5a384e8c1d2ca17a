#include "ssa/data/read_ahead.h"

#include <atomic>
#include <chrono>
#include <set>
#include <string>

#include <catch2/catch.hpp>

using namespace ssa;

namespace {

/// Later items are made faster, so with several workers they overtake earlier ones.
std::string slow_item(int64_t number) {
  std::this_thread::sleep_for(std::chrono::microseconds(number % 7 == 0 ? 500 : 20));
  return "item " + std::to_string(number);
}

}  // namespace

TEST_CASE("items come in order, whatever the depth and the number of workers") {
  for (const int64_t workers : {1, 2, 5}) {
    for (const int64_t depth : {1, 2, 50}) {
      ReadAhead<std::string> items(slow_item, 10, 60, depth, workers);
      for (int64_t number = 10; number < 60; ++number) REQUIRE(items.next() == slow_item(number));
      CHECK_THROWS_AS(items.next(), ShapeError);
    }
  }
}

TEST_CASE("each item is made once, by other threads, and not too far ahead") {
  constexpr int64_t kDepth = 3;
  std::atomic<int64_t> taken = 0, made = 0;
  std::atomic<bool> too_far = false, in_this_thread = false;
  const auto here = std::this_thread::get_id();
  ReadAhead<int64_t> items(
      [&](int64_t number) {
        too_far = too_far || number > taken + kDepth;  // `taken` may have grown since the claim
        in_this_thread = in_this_thread || std::this_thread::get_id() == here;
        ++made;
        return number;
      },
      0, 200, kDepth, 4);
  for (int64_t number = 0; number < 200; ++number) {
    CHECK(items.next() == number);
    ++taken;
  }
  CHECK(made == 200);
  CHECK_FALSE(too_far);
  CHECK_FALSE(in_this_thread);
}

TEST_CASE("an error comes in its turn, and again at every later call") {
  ReadAhead<int64_t> items(
      [](int64_t number) {
        if (number == 5) throw DataError("item {} is damaged", number);
        return number;
      },
      0, 1000, 4, 3);
  for (int64_t number = 0; number < 5; ++number) CHECK(items.next() == number);
  for (int i = 0; i < 3; ++i) {
    CHECK_THROWS_WITH(items.next(), Catch::Contains("item 5 is damaged"));
  }
}

TEST_CASE("reading ahead may be dropped at any time") {
  for (int taken = 0; taken < 20; ++taken) {
    ReadAhead<std::string> items(slow_item, 0, 1'000'000, 3, 2);
    for (int i = 0; i < taken; ++i) items.next();
  }
  ReadAhead<std::string> empty(slow_item, 3, 3);
  CHECK_THROWS_AS(empty.next(), ShapeError);
}

TEST_CASE("reading ahead refuses what cannot be") {
  const auto make = [](int64_t first, int64_t end, int64_t depth, int64_t workers) {
    ReadAhead<std::string> items(slow_item, first, end, depth, workers);
  };
  CHECK_THROWS_AS(make(2, 1, 1, 1), ShapeError);
  CHECK_THROWS_AS(make(0, 1, 0, 1), ShapeError);
  CHECK_THROWS_AS(make(0, 1, 1, 0), ShapeError);
}
