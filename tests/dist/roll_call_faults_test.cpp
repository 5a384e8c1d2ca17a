#include <csignal>

#include <catch2/catch.hpp>

#include "dist/rank_process.h"
#include "dist/roll_call_ranks.h"

namespace ssa::dist {
namespace {

using std::chrono::seconds;
using testing::joined;
using testing::RankProcess;
using testing::within;

RankProcess start_rank(int rank, int size, int port, const std::string& what) {
  return RankProcess("ssa_roll_call_rank",
                     {std::to_string(rank), std::to_string(size), std::to_string(port), what});
}

TEST_CASE("A killed process is gone", "[dist][roll_call]") {
  SECTION("rank 2") {
    const auto rank0 = RollCall::serve(3, 0);
    const auto rank1 = joined(1, 3, rank0->port());
    RankProcess rank2 = start_rank(2, 3, rank0->port(), "wait");
    REQUIRE(rank2.line() == std::to_string(rank0->port()));
    rank2.send(SIGKILL);
    PeerReport report;
    CHECK(within(10, [&] { return rank0->bad_news(&report) == 2 && report.gone; }));
    CHECK(within(10, [&] { return rank1->bad_news(&report) == 2 && report.gone; }));
  }
  SECTION("rank 0") {
    RankProcess rank0 = start_rank(0, 3, 0, "wait");
    const int port = std::stoi(rank0.line());
    const auto rank1 = joined(1, 3, port), rank2 = joined(2, 3, port);
    rank1->ask(seconds(3));
    rank0.send(SIGKILL);
    for (RollCall* rank : {rank1.get(), rank2.get()}) {
      PeerReport report;
      CHECK(within(10, [&] { return rank->bad_news(&report) == 0 && report.gone; }));
      CHECK(rank->ask(seconds(30))[0].gone);  // does not wait for nobody
    }
    CHECK(rank1->ask(seconds(0))[2].joined);  // as was last known
  }
}

TEST_CASE("A stopped process falls silent, and is heard again when it goes on",
          "[dist][roll_call]") {
  SECTION("rank 1") {
    const auto rank0 = RollCall::serve(3, 0);
    RankProcess rank1 = start_rank(1, 3, rank0->port(), "wait");
    const auto rank2 = joined(2, 3, rank0->port());
    rank1.line();
    rank1.send(SIGSTOP);
    CHECK(within(20, [&] { return rank2->ask(seconds(3))[1].silent_seconds > 2; }));
    CHECK(rank0->ask(seconds(0))[1].silent_seconds > 2);
    const std::vector<PeerReport> reports = rank2->ask(seconds(3));
    CHECK_FALSE(reports[1].gone);
    CHECK(reports[0].silent_seconds < 1.5);
    rank1.send(SIGCONT);
    CHECK(within(20, [&] { return rank2->ask(seconds(3))[1].silent_seconds < 1; }));
  }
  SECTION("rank 0") {
    RankProcess rank0 = start_rank(0, 2, 0, "wait");
    const auto rank1 = joined(1, 2, std::stoi(rank0.line()));
    REQUIRE(rank1->ask(seconds(10))[0].silent_seconds < 1);
    rank0.send(SIGSTOP);
    CHECK(within(20,
                 [&] { return rank1->ask(std::chrono::milliseconds(100))[0].silent_seconds > 2; }));
    PeerReport report;
    CHECK_FALSE(rank1->bad_news(&report));
    rank1->announce(ExitCode::diverged, "rank 0 does not hear it");
    rank0.send(SIGCONT);
    CHECK(rank1->ask(seconds(20))[0].silent_seconds < 1);
  }
}

TEST_CASE("The last words of a process arrive, however abruptly it ends", "[dist][roll_call]") {
  PeerReport report;
  SECTION("of rank 1") {
    const auto rank0 = RollCall::serve(3, 0);
    RankProcess rank1 = start_rank(1, 3, rank0->port(), "fail");
    const auto rank2 = joined(2, 3, rank0->port());
    rank2->set("fail", "now");
    CHECK(rank1.wait() == 3);
    CHECK(within(10, [&] { return rank2->bad_news(&report) == 1; }));
    CHECK(report.failure == "the program was told to fail");
    CHECK(within(10, [&] { return rank2->ask(seconds(3))[1].gone; }));
  }
  SECTION("of rank 0") {
    RankProcess rank0 = start_rank(0, 2, 0, "fail");
    const auto rank1 = joined(1, 2, std::stoi(rank0.line()));
    rank1->set("fail", "now");
    CHECK(rank0.wait() == 3);
    CHECK(within(10, [&] { return rank1->bad_news(&report) == 0; }));
    CHECK(report.failed == ExitCode::data);
    CHECK(report.failure == "the program was told to fail");
  }
}

}  // namespace
}  // namespace ssa::dist
