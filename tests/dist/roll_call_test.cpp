#include "dist/roll_call.h"

#include <thread>

#include <catch2/catch.hpp>

#include "ssa/dist/communicator.h"

#include "dist/roll_call_ranks.h"

namespace ssa::dist {
namespace {

using Catch::Contains;
using std::chrono::seconds;
using testing::joined;
using testing::Ranks;
using testing::within;

TEST_CASE("The roll call says where every rank is", "[dist][roll_call]") {
  Ranks ranks(3);
  ranks[0].set_position({7, 2, "all_reduce of bucket 1"});
  ranks[1].set_position({5, 1, "barrier"});
  ranks[2].set_position({6, 2, "all_reduce of bucket 0"});
  ranks[1].ask(seconds(3));  // brings its position along
  for (const int asker : {2, 0}) {
    const std::vector<PeerReport> reports = ranks[asker].ask(seconds(3));
    REQUIRE(reports.size() == 3);
    CHECK(reports[0].position.collectives == 7);
    CHECK(reports[0].position.step == 2);
    CHECK(reports[1].position.what == "barrier");
    CHECK(reports[1].position.collectives == 5);
    CHECK(reports[2].position.what == "all_reduce of bucket 0");
    for (const PeerReport& report : reports) {
      CHECK(report.joined);
      CHECK_FALSE(report.gone);
      CHECK_FALSE(report.left);
      CHECK_FALSE(report.failed);
      CHECK(report.silent_seconds >= 0);
      CHECK(report.silent_seconds < 30);
    }
  }
}

TEST_CASE("Positions reach rank 0 unasked", "[dist][roll_call]") {
  Ranks ranks(2);
  ranks[1].set_position({3, 1, "gather of losses"});
  CHECK(within(10, [&] { return ranks[0].ask(seconds(0))[1].position.collectives == 3; }));
}

TEST_CASE("Ranks that have not come are not there", "[dist][roll_call]") {
  const auto rank0 = RollCall::serve(3, 0);
  const auto rank2 = joined(2, 3, rank0->port());
  for (RollCall* asker : {rank0.get(), rank2.get()}) {
    const std::vector<PeerReport> reports = asker->ask(seconds(3));
    CHECK(reports[0].joined);
    CHECK_FALSE(reports[1].joined);
    CHECK(reports[2].joined);
  }
  PeerReport report;
  CHECK_FALSE(rank0->bad_news(&report));
}

TEST_CASE("A connection that breaks is bad news to all but those who said goodbye",
          "[dist][roll_call]") {
  Ranks ranks(4);
  ranks[3].shut_down();
  ranks.end(3);
  ranks[1].set_position({9, 4, "all_reduce of bucket 2"});
  ranks[1].ask(seconds(3));
  ranks.end(1);
  for (const int rank : {0, 2}) {
    PeerReport report;
    REQUIRE(within(10, [&] { return ranks[rank].bad_news(&report).has_value(); }));
    CHECK(ranks[rank].bad_news(&report) == 1);
    CHECK(report.gone);
    CHECK_FALSE(report.left);
    CHECK_FALSE(report.failed);
    CHECK(report.position.what == "all_reduce of bucket 2");
    const std::vector<PeerReport> reports = ranks[rank].ask(seconds(3));
    CHECK(reports[1].gone);
    CHECK(reports[3].left);
    CHECK_FALSE(reports[3].gone);
  }
}

TEST_CASE("A failure is told to everyone with its code and message", "[dist][roll_call]") {
  Ranks ranks(3);
  const auto expect_failure_of = [&](int rank, int teller) {
    PeerReport report;
    REQUIRE(within(10, [&] { return ranks[rank].bad_news(&report).has_value(); }));
    CHECK(ranks[rank].bad_news(&report) == teller);
    CHECK(report.failed == ExitCode::data);
    CHECK(report.failure == "enwik8: byte 17 is not there");
  };
  SECTION("by rank 2, which then dies, and then a victim of that") {
    ranks[2].announce(ExitCode::data, "enwik8: byte 17 is not there");
    ranks.end(2);
    expect_failure_of(1, 2);
    expect_failure_of(0, 2);
    CHECK(within(10, [&] { return ranks[0].ask(seconds(3))[2].gone; }));
    ranks.end(1);
    CHECK(within(10, [&] { return ranks[0].ask(seconds(3))[1].gone; }));
    expect_failure_of(0, 2);
  }
  SECTION("by rank 0, which then dies") {
    ranks[0].announce(ExitCode::data, "enwik8: byte 17 is not there");
    ranks.end(0);
    expect_failure_of(1, 0);
    expect_failure_of(2, 0);
    CHECK(within(10, [&] { return ranks[1].ask(seconds(3))[0].gone; }));
  }
  SECTION("once: what comes after is a consequence") {
    ranks[1].announce(ExitCode::data, "enwik8: byte 17 is not there");
    ranks[1].announce(ExitCode::peer, "the job has ended");
    expect_failure_of(0, 1);
    expect_failure_of(2, 1);
    PeerReport report;
    CHECK_FALSE(ranks[1].bad_news(&report));  // its own is no news to it
  }
  SECTION("however long") {
    ranks[1].announce(ExitCode::data, std::string(20 << 20, 'x'));
    PeerReport report;
    REQUIRE(within(10, [&] { return ranks[2].bad_news(&report).has_value(); }));
    CHECK(report.failure.starts_with("xxx"));
    CHECK(report.failure.size() < 10000);
  }
}

TEST_CASE("A rank that comes late hears of a failure before it", "[dist][roll_call]") {
  const auto rank0 = RollCall::serve(3, 0);
  joined(1, 3, rank0->port())->announce(ExitCode::diverged, "loss is nan");
  const auto rank2 = joined(2, 3, rank0->port());
  PeerReport report;
  REQUIRE(within(10, [&] { return rank2->bad_news(&report).has_value(); }));
  CHECK(rank2->bad_news(&report) == 1);
  CHECK(report.failure == "loss is nan");
}

TEST_CASE("Rank 0 that says goodbye is not missed, but cannot be asked", "[dist][roll_call]") {
  Ranks ranks(2);
  ranks[0].shut_down();
  ranks.end(0);
  CHECK(within(10, [&] { return ranks[1].ask(seconds(3))[0].left; }));
  PeerReport report;
  CHECK_FALSE(ranks[1].bad_news(&report));
  CHECK(within(10, [&] {
    try {
      ranks[1].set("key", "value");
      return false;
    } catch (const PeerError& error) {
      CHECK_THAT(error.what(), Contains("rank 0"));
      return true;
    }
  }));
  CHECK_THROWS_AS(ranks[1].get("key", seconds(3)), PeerError);
  ranks[1].announce(ExitCode::data, "nobody hears it");  // nor waits
  ranks[1].shut_down();
}

TEST_CASE("The store gives every rank what any has set", "[dist][roll_call]") {
  Ranks ranks(3);
  std::string all_bytes;
  for (int byte = 0; byte < 256; ++byte) all_bytes += static_cast<char>(byte);
  ranks[1].set("from 1", all_bytes);
  ranks[0].set("from 0", "");
  for (int rank = 0; rank < 3; ++rank) {
    CHECK(ranks[rank].get("from 1", seconds(3)) == all_bytes);
    CHECK(ranks[rank].get("from 0", seconds(3)).empty());
  }
  const std::string large(1 << 20, 'y');
  ranks[2].set("large", large);
  CHECK(ranks[1].get("large", seconds(10)) == large);
  CHECK_THROWS_AS(ranks[1].set("too large", large + "y"), ShapeError);
}

TEST_CASE("The store waits for keys to be set", "[dist][roll_call]") {
  Ranks ranks(3);
  const auto ask_and_set = [&](int asker, int setter) {
    const std::string key = "to " + std::to_string(asker) + " from " + std::to_string(setter);
    std::string value;
    std::thread waiting([&] { value = ranks[asker].get(key, seconds(30)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ranks[setter].set(key, "late");
    waiting.join();
    CHECK(value == "late");
  };
  ask_and_set(0, 1);
  ask_and_set(2, 1);
  ask_and_set(2, 0);
  for (const int rank : {0, 1}) {
    CHECK_THROWS_WITH(ranks[rank].get("the address of rank 5", std::chrono::milliseconds(50)),
                      Contains("the address of rank 5") &&
                          Contains("rank " + std::to_string(rank)) && Contains("0.05 s"));
  }
}

TEST_CASE("Waiting for a key ends when a rank goes", "[dist][roll_call]") {
  Ranks ranks(3);
  for (const int rank : {0, 1}) {
    std::string message;
    std::thread waiting([&] {
      try {
        ranks[rank].get("the address of rank 2", seconds(60));
      } catch (const PeerError& error) {
        message = error.what();
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ranks.end(2);
    waiting.join();
    CHECK_THAT(message, Contains("rank 2 is gone") && Contains("the address of rank 2"));
  }
}

TEST_CASE("A roll call of 64", "[dist][roll_call]") {
  constexpr int kSize = 64;
  Ranks ranks(kSize);
  for (int rank = 0; rank < kSize; ++rank) {
    ranks[rank].set_position({100 + rank, rank, "barrier"});
    ranks[rank].set("rank " + std::to_string(rank), std::to_string(rank * rank));
  }
  for (int rank = 1; rank < kSize; ++rank) ranks[rank].ask(seconds(10));
  const std::vector<PeerReport> reports = ranks[kSize - 1].ask(seconds(10));
  for (int rank = 0; rank < kSize; ++rank) {
    CHECK(reports[static_cast<size_t>(rank)].position.collectives == 100 + rank);
    CHECK(ranks[rank].get("rank " + std::to_string(kSize - 1 - rank), seconds(10)) ==
          std::to_string((kSize - 1 - rank) * (kSize - 1 - rank)));
  }
  ranks.end(17);
  for (int rank = 0; rank < kSize; ++rank) {
    if (rank == 17) continue;
    PeerReport report;
    CHECK(within(10, [&] { return ranks[rank].bad_news(&report) == 17; }));
  }
}

TEST_CASE("Ends that are not waited for do not hang, whatever the order", "[dist][roll_call]") {
  for (const bool with_goodbye : {true, false}) {
    Ranks ranks(4);
    for (int rank = 0; rank < 4 && with_goodbye; ++rank) ranks[rank].shut_down();
    for (const int rank : {1, 0, 3, 2}) ranks.end(rank);
  }
}

}  // namespace
}  // namespace ssa::dist
