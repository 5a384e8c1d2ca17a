#include "dist/host_communicator.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <numeric>
#include <thread>

#include <catch2/catch.hpp>

#include "dist/fake_ranks.h"

namespace ssa::dist {
namespace {

using testing::fake_transport;
using testing::TransportScript;

/// A communicator over a fake transport.
struct Rank {
  std::shared_ptr<TransportScript> script = std::make_shared<TransportScript>();
  std::unique_ptr<HostCommunicator> ranks;

  HostCommunicator& start(Seconds timeout = std::chrono::seconds(30)) {
    ranks = std::make_unique<HostCommunicator>([script = script] { return fake_transport(script); },
                                               timeout, "rank 0 of 3");
    return *ranks;
  }
};

PendingCollective all_reduce(Communicator& ranks, int64_t count) {
  return ranks.all_reduce({nullptr, count, DType::f32}, "bucket");
}

/// What the other ranks give in a gather: what this one does, in another order of ranks.
void all_give_the_same(const Request& request) {
  if (request.kind != Request::Kind::all_gather) return;
  const size_t part = request.buffer.bytes() / 3;
  char* data = static_cast<char*>(request.buffer.data);
  for (size_t rank = 1; rank < 3; ++rank) std::memcpy(data + rank * part, data, part);
}

TEST_CASE("One thread of its own makes all calls of a transport", "[dist]") {
  Rank rank;
  rank.start();
  all_reduce(*rank.ranks, 1).wait();
  all_reduce(*rank.ranks, 2).wait();
  CHECK(rank.script->comes("idle"));
  rank.ranks.reset();
  REQUIRE(rank.script->threads().size() == 1);
  CHECK(rank.script->threads().front() != std::this_thread::get_id());
  std::vector<std::string> events = rank.script->events();
  std::erase(events, "idle");
  CHECK(events == std::vector<std::string>{"made", "start 1", "poll 1", "start 2", "poll 2",
                                           "shut down", "destroyed"});
}

TEST_CASE("A communicator says what its transport says", "[dist]") {
  Rank rank;
  rank.script->rank = 2;
  const HostCommunicator& ranks = rank.start();
  CHECK(ranks.rank() == 2);
  CHECK(ranks.size() == 3);
  CHECK(ranks.local_rank() == 2);
  CHECK(ranks.local_size() == 3);
  CHECK(ranks.description() == "3 ranks on 1 machine over a fake");
}

TEST_CASE("Several collectives are under way at once, and end in any order", "[dist]") {
  Rank rank;
  std::atomic<int64_t> open = -1;  // the one that may end
  rank.script->poll = [&](const Request& request) { return request.buffer.count == open; };
  Communicator& ranks = rank.start();
  std::vector<PendingCollective> pending;
  for (int64_t i = 0; i < 6; ++i) pending.push_back(all_reduce(ranks, i));
  REQUIRE(rank.script->comes("start 3"));
  for (const int64_t i : {2, 1, 4, 0, 5, 3}) {
    CHECK_FALSE(pending[static_cast<size_t>(i)].done());
    open = i;
    pending[static_cast<size_t>(i)].wait();
    CHECK(pending[static_cast<size_t>(i)].done());
  }
  std::vector<std::string> starts = rank.script->events();
  std::erase_if(starts, [](const std::string& event) { return !event.starts_with("start"); });
  CHECK(starts ==
        std::vector<std::string>{"start 0", "start 1", "start 2", "start 3", "start 4", "start 5"});
}

TEST_CASE("What is queued is finished before a communicator ends", "[dist]") {
  Rank rank;
  std::atomic<bool> open = false;
  rank.script->poll = [&](const Request&) { return open.load(); };
  for (int64_t i = 0; i < 8; ++i) all_reduce(rank.ranks ? *rank.ranks : rank.start(), i);
  open = true;
  rank.ranks.reset();
  CHECK(rank.script->count("poll 7") > 0);
  CHECK(rank.script->count("shut down") == 1);
}

TEST_CASE("Gathered strings keep every bit, whatever their length", "[dist]") {
  Rank rank;
  rank.script->start = all_give_the_same;
  Communicator& ranks = rank.start();
  for (const size_t length : {0u, 1u, 247u, 248u, 249u, 251u, 100'000u}) {
    std::string own(length, '\0');
    std::iota(own.begin(), own.end(), static_cast<char>(length));
    CHECK(ranks.gather(own, "bytes") == std::vector<std::string>(3, own));
  }
  const std::vector<double> numbers = {1.5, -0.0, 3e300};
  CHECK(ranks.gather(numbers, "numbers").size() == 9);
  CHECK(ranks.any(true, "a flag"));
  CHECK(ranks.broadcast("text", "a text") == "text");
}

TEST_CASE("Buffers that no transport takes are refused", "[dist]") {
  Rank rank;
  Communicator& ranks = rank.start();
  using Catch::Matchers::Contains;
  CHECK_THROWS_WITH(ranks.all_reduce({nullptr, 3, DType::i32}, "bucket"),
                    Contains("all_reduce of bucket") && Contains("not i32"));
  CHECK_THROWS_WITH(ranks.reduce_scatter({nullptr, 4, DType::f32}, "bucket"),
                    Contains("4 values cannot be divided among 3 ranks"));
  CHECK_THROWS_AS(ranks.all_gather({nullptr, 4, DType::bf16}, "bucket"), ShapeError);
  CHECK_NOTHROW(ranks.all_gather({nullptr, 6, DType::f64}, "bucket").wait());
}

TEST_CASE("A transport that cannot be made is an error", "[dist]") {
  SECTION("with its own message") {
    const auto make = []() -> std::unique_ptr<Transport> { throw ConfigError("no network"); };
    CHECK_THROWS_AS(HostCommunicator(make, std::chrono::seconds(30), "rank 0 of 3"), ConfigError);
  }
  SECTION("that says how long it waited") {
    std::atomic<bool> give_up = false;
    const auto script = std::make_shared<TransportScript>();
    const auto make = [&give_up, script] {
      while (!give_up) std::this_thread::yield();
      script->note("end");
      return std::unique_ptr<Transport>();
    };
    CHECK_THROWS_WITH(HostCommunicator(make, std::chrono::milliseconds(20), "rank 0 of 3"),
                      Catch::Matchers::Contains("rank 0 of 3: not all ranks have come together "
                                                "within 0.02 s (distributed.timeout_seconds)"));
    give_up = true;
    CHECK(script->comes("end"));
  }
}

TEST_CASE("A communicator counts what it does", "[dist]") {
  Rank rank;
  rank.script->start = all_give_the_same;
  std::atomic<bool> open = false, waiting = false;
  rank.script->poll = [&](const Request& request) { return open || request.buffer.count != 100; };
  Communicator& ranks = rank.start();
  ranks.barrier("the beginning");
  CHECK(ranks.stats().collectives == 1);
  CHECK(ranks.stats().busy_seconds == 0);
  const int64_t before = ranks.stats().bytes;
  const PendingCollective pending = all_reduce(ranks, 100);
  CHECK(ranks.stats().collectives == 2);
  CHECK(ranks.stats().bytes == before + 400);
  const double busy = ranks.stats().busy_seconds;
  CHECK(busy > 0);
  const double waited = ranks.stats().waited_seconds;
  std::thread opener([&] {  // long after the wait has begun
    while (!waiting) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    open = true;
  });
  waiting = true;
  pending.wait();
  opener.join();
  CHECK(ranks.stats().waited_seconds > waited);
  const double after = ranks.stats().busy_seconds;
  CHECK(after > busy);
  CHECK(ranks.stats().busy_seconds == after);
}

}  // namespace
}  // namespace ssa::dist
