#include <atomic>

#include <catch2/catch.hpp>

#include "dist/fake_ranks.h"
#include "dist/host_communicator.h"

namespace ssa::dist {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::Equals;
using testing::fake_transport;
using testing::FakeRollCall;
using testing::TransportScript;

constexpr Seconds kLong = std::chrono::seconds(60);
constexpr Seconds kShort = std::chrono::milliseconds(50);

/// Rank 1 of 3 over a fake transport whose collectives never end, with a roll call.
struct Rank {
  std::shared_ptr<TransportScript> script = std::make_shared<TransportScript>();
  std::shared_ptr<FakeRollCall> roll_call = std::make_shared<FakeRollCall>(3);
  std::unique_ptr<HostCommunicator> ranks;

  explicit Rank(bool with_roll_call = true) {
    script->rank = 1;
    script->poll = [](const Request&) { return false; };
    ranks = std::make_unique<HostCommunicator>([script = script] { return fake_transport(script); },
                                               kLong, "rank 1 of 3");
    if (with_roll_call) ranks->set_roll_call(roll_call);
    ranks->set_step(41);
  }
  PendingCollective all_reduce(int bucket) {
    return ranks->all_reduce({nullptr, bucket, DType::f32},
                             "gradient bucket " + std::to_string(bucket));
  }
};

std::string message_of(const PendingCollective& pending) {
  try {
    pending.wait();
  } catch (const PeerError& error) {
    return error.what();
  }
  return "no error";
}

TEST_CASE("A collective that takes too long names rank, step, itself and the culprit", "[dist]") {
  Rank rank;
  rank.ranks->set_timeout(kShort);
  rank.roll_call->set(0, [](PeerReport& report) { report.position = {2, 41, ""}; });
  rank.roll_call->set(2, [](PeerReport& report) {
    report.position = {7, 40, "all_reduce of gradient bucket 9"};
    report.silent_seconds = 7.2;
  });
  const PendingCollective first = rank.all_reduce(3), second = rank.all_reduce(4);
  const std::string message = message_of(first);
  CHECK(message ==
        "rank 1 of 3, step 41: all_reduce of gradient bucket 3 did not finish within 0.05 s "
        "(distributed.timeout_seconds): rank 2 has been silent for 7 s: stopped, or its machine "
        "cannot be reached");
  SECTION("and so do all others from then on") {
    CHECK(message_of(second) == message);
    CHECK_THROWS_WITH(second.done(), Equals(message));
    CHECK_THROWS_WITH(rank.all_reduce(5), Equals(message));
    CHECK_THROWS_WITH(rank.ranks->barrier("the end"), Equals(message));
    CHECK(rank.script->count("start 5") == 0);
  }
  SECTION("and the communicator ends without waiting for anybody") {
    rank.ranks.reset();
    CHECK(rank.script->count("shut down") == 0);
    CHECK(rank.script->count("destroyed") == 1);
    CHECK_FALSE(rank.roll_call->said_goodbye());
    REQUIRE(rank.roll_call->announced().size() == 1);
    CHECK(rank.roll_call->announced().front() == message);
  }
}

TEST_CASE("Waiting for strings has a timeout too", "[dist]") {
  Rank rank;
  rank.ranks->set_timeout(kShort);
  rank.ranks->set_step(-1);
  CHECK_THROWS_WITH(rank.ranks->gather(std::string("own"), "losses"),
                    Contains("rank 1 of 3: gather of losses did not finish within 0.05 s"));
}

TEST_CASE("Without a roll call the message says that nobody can be named", "[dist]") {
  Rank rank(/*with_roll_call=*/false);
  rank.ranks->set_timeout(kShort);
  CHECK_THAT(message_of(rank.all_reduce(3)), Contains("which rank is missing is not known"));
  CHECK_FALSE(rank.ranks->announce_failure(ExitCode::data, "no such file"));
}

TEST_CASE("A rank that fails ends the others' collectives at once", "[dist]") {
  Rank rank;
  const PendingCollective pending = rank.all_reduce(3);
  rank.roll_call->set(
      2,
      [](PeerReport& report) {
        report.failed = ExitCode::data;
        report.failure = "no such file";
      },
      /*news=*/true);
  CHECK(message_of(pending) ==
        "rank 1 of 3, step 41: all_reduce of gradient bucket 3 cannot finish: rank 2 failed: no "
        "such file");
}

TEST_CASE("A collective may end in a moment after bad news, in the call that started it too",
          "[dist]") {
  Rank rank;
  rank.roll_call->set(
      0, [](PeerReport& report) { report.failed = ExitCode::usage; }, /*news=*/true);
  const auto roll_call = rank.roll_call;
  SECTION("at the start") {
    rank.script->start = [=](const Request&) {
      while (!roll_call->has_told_news()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    rank.script->poll = [](const Request&) { return true; };
  }
  SECTION("later") {
    rank.script->poll = [=](const Request&) { return roll_call->has_told_news(); };
  }
  CHECK(message_of(rank.all_reduce(3)) == "no error");
}

TEST_CASE("What a transport throws is a failure of all", "[dist]") {
  Rank rank;
  rank.roll_call->set(0, [](PeerReport& report) { report.gone = true; });
  const std::string expected =
      "rank 1 of 3, step 41: all_reduce of gradient bucket 3 broke off (connection reset): rank 0 "
      "is gone: its process has died";
  const auto fail = [](const Request&) -> bool { throw std::runtime_error("connection reset"); };
  SECTION("at the start") { rank.script->start = fail; }
  SECTION("later") { rank.script->poll = fail; }
  CHECK(message_of(rank.all_reduce(3)) == expected);
  CHECK_THROWS_WITH(rank.all_reduce(4), Equals(expected));
}

TEST_CASE("A transport that does not return does not keep the caller from bad news", "[dist]") {
  Rank rank;
  std::atomic<bool> returns = false;
  rank.script->start = [&](const Request&) {
    while (!returns) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  const PendingCollective pending = rank.all_reduce(3);
  REQUIRE(rank.script->comes("start 3"));
  rank.roll_call->set(
      0, [](PeerReport& report) { report.gone = true; }, /*news=*/true);
  CHECK_THAT(message_of(pending), Contains("cannot finish: rank 0 is gone"));
  rank.ranks.reset();  // leaves the thread behind
  CHECK(rank.script->count("destroyed") == 0);
  returns = true;
  CHECK(rank.script->comes("destroyed"));
  CHECK(rank.script->count("shut down") == 0);
}

TEST_CASE("An exception on its way parts without a goodbye", "[dist]") {
  Rank rank;
  try {
    const std::unique_ptr<HostCommunicator> ranks = std::move(rank.ranks);
    throw DataError("no such file");
  } catch (const DataError&) {
  }
  CHECK(rank.script->count("destroyed") == 1);
  CHECK(rank.script->count("shut down") == 0);
  CHECK_FALSE(rank.roll_call->said_goodbye());
}

TEST_CASE("Parting in peace says goodbye", "[dist]") {
  Rank rank;
  rank.ranks.reset();
  CHECK(rank.script->count("shut down") == 1);
  CHECK(rank.roll_call->said_goodbye());
}

TEST_CASE("An error that rank 0 has as well need not be printed again", "[dist]") {
  Rank rank;
  const std::string message = "train.steps is -1";
  const auto rank_0_fails_with = [&](const std::string& text) {
    rank.roll_call->set(0, [&](PeerReport& report) {
      report.failed = ExitCode::usage;
      report.failure = text;
    });
  };
  SECTION("the same") {
    rank_0_fails_with(message);
    CHECK(rank.ranks->announce_failure(ExitCode::usage, message));
  }
  SECTION("another") {
    rank_0_fails_with("disk full");
    CHECK_FALSE(rank.ranks->announce_failure(ExitCode::usage, message));
  }
  SECTION("rank 0 is gone") {
    rank.roll_call->set(0, [](PeerReport& report) { report.gone = true; });
    CHECK_FALSE(rank.ranks->announce_failure(ExitCode::usage, message));
  }
  CHECK(rank.roll_call->announced() == std::vector<std::string>{message});
  rank.ranks.reset();
  CHECK(rank.script->count("shut down") == 0);
}

TEST_CASE("The roll call learns where a rank is", "[dist]") {
  Rank rank;
  rank.script->poll = [](const Request&) { return true; };
  rank.all_reduce(3).wait();
  rank.ranks->set_step(42);
  rank.all_reduce(4).wait();
  CHECK(rank.roll_call->position().collectives == 2);
  CHECK(rank.roll_call->position().step == 42);
  CHECK(rank.roll_call->position().what == "all_reduce of gradient bucket 4");
}

}  // namespace
}  // namespace ssa::dist
