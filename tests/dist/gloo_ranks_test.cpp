// Ranks that only environment variables connect: what ssa_dist_ranks finds right, and how it ends
// when one of them does not do its part.

#include <csignal>

#include <catch2/catch.hpp>

#include "dist/rank_process.h"
#include "dist/roll_call.h"

namespace ssa::dist {
namespace {

using Catch::Contains;
using testing::free_port;
using testing::RankProcess;

std::vector<RankProcess> start_ranks(int size, const std::string& mode, int culprit = -1,
                                     const std::string& address = "127.0.0.1") {
  const std::string port = std::to_string(free_port());
  std::vector<RankProcess> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.emplace_back(
        "ssa_dist_ranks", std::vector{mode, std::to_string(culprit)},
        std::vector{"RANK=" + std::to_string(rank), "WORLD_SIZE=" + std::to_string(size),
                    "MASTER_ADDR=" + address, "MASTER_PORT=" + port});
  }
  return ranks;
}

/// Waits for all but one, and expects each to end with code 6 and a message.
void expect_of_others(std::vector<RankProcess>& ranks, size_t culprit, const std::string& message) {
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    if (rank == culprit) continue;
    const int code = ranks[rank].wait();
    INFO("rank " << rank << ": " << ranks[rank].errors());
    CHECK(code == 6);
    CHECK_THAT(ranks[rank].errors(), Contains(message));
    CHECK_THAT(ranks[rank].errors(),
               Contains("rank " + std::to_string(rank) + " of " + std::to_string(ranks.size())));
    CHECK_THAT(ranks[rank].errors(), !Contains(".cc"));
  }
}

void expect_success(std::vector<RankProcess> ranks) {
  for (RankProcess& rank : ranks) {
    const int code = rank.wait();
    INFO(rank.errors());
    CHECK(code == 0);
  }
}

TEST_CASE("two ranks get what they should from collectives over Gloo", "[dist][gloo]") {
  expect_success(start_ranks(2, "collectives"));
  expect_success(start_ranks(2, "gather"));
}

TEST_CASE("more ranks than two get it over Gloo as well", "[dist][gloo][slow]") {
  const int size = GENERATE(3, 4, 5);
  expect_success(start_ranks(size, "collectives"));
  expect_success(start_ranks(size, "gather"));
}

TEST_CASE("Gloo takes the way to MASTER_ADDR, whatever it is called", "[dist][gloo][slow]") {
  for (const std::string& address : RollCall::own_addresses()) {
    INFO(address);
    expect_success(start_ranks(2, "gather", -1, address));
  }
  expect_success(start_ranks(2, "gather", -1, "localhost"));
}

TEST_CASE("a rank that is killed ends the others without a launcher", "[dist][gloo]") {
  const int culprit = GENERATE(0, 1);
  std::vector<RankProcess> ranks = start_ranks(3, "killed", culprit);
  CHECK(ranks[static_cast<size_t>(culprit)].wait() == 128 + SIGKILL);
  expect_of_others(ranks, static_cast<size_t>(culprit),
                   "rank " + std::to_string(culprit) + " is gone: its process has died");
}

TEST_CASE("a rank that is stopped ends the others without a launcher", "[dist][gloo][slow]") {
  const int culprit = GENERATE(0, 1);
  std::vector<RankProcess> ranks = start_ranks(3, "stopped", culprit);
  // The first of them to give up breaks its connections: the other need not wait as long.
  expect_of_others(ranks, static_cast<size_t>(culprit),
                   "rank " + std::to_string(culprit) + " has been silent for");
}

TEST_CASE("a rank that does not come to a collective is named over Gloo", "[dist][gloo][slow]") {
  std::vector<RankProcess> ranks = start_ranks(3, "absent", 1);
  expect_of_others(ranks, 1, "rank 1 is 1 collective behind");
}

TEST_CASE("a rank's own error reaches the others without a launcher", "[dist][gloo][slow]") {
  std::vector<RankProcess> ranks = start_ranks(3, "failing", 1);
  CHECK(ranks[1].wait() == 3);
  expect_of_others(ranks, 1, "rank 1 failed: text.bin: truncated at byte 12");
}

TEST_CASE("ranks that miss one of them say which", "[dist][gloo][slow]") {
  std::vector<RankProcess> ranks = start_ranks(3, "late", 2);
  expect_of_others(ranks, 2, "missing: 2");
}

}  // namespace
}  // namespace ssa::dist
