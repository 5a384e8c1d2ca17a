// Ranks that are processes under mpirun: what ssa_dist_ranks finds right, and how it ends when one
// of them does not do its part.

#include "support/mpirun.h"

#include <catch2/catch.hpp>

namespace ssa::testing {
namespace {

using Catch::Matchers::Contains;

MpiJob run(int ranks, const std::string& mode, int culprit = -1, bool survive = false) {
  MpiJob job = mpirun(ranks, "ssa_dist_ranks", {mode, std::to_string(culprit)}, survive);
  UNSCOPED_INFO("mpirun returned " << job.code << " and wrote:\n" << job.output);
  CHECK(job.left_behind == 0);
  return job;
}

TEST_CASE("two ranks get what they should from collectives over MPI", "[dist]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  CHECK(run(2, "collectives").code == 0);
  CHECK(run(2, "gather").code == 0);
}

TEST_CASE("more ranks than two get it as well", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const int ranks = GENERATE(3, 4, 5);
  CHECK(run(ranks, "collectives").code == 0);
  CHECK(run(ranks, "gather").code == 0);
}

TEST_CASE("a rank that does not come is named when time is up", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const int culprit = GENERATE(0, 1);
  const MpiJob job = run(3, "absent", culprit);
  CHECK(job.code == 6);
  CHECK_THAT(job.output, Contains("rank 2 of 3, step 45: all_reduce of gradient bucket 5 did not "
                                  "finish within 3 s (distributed.timeout_seconds): rank " +
                                  std::to_string(culprit) +
                                  " is 1 collective behind (in step 44, at all_reduce of gradient "
                                  "bucket 4)"));
  CHECK_THAT(job.output, !Contains("--resume"));  // only who trains knows whether that helps
}

TEST_CASE("ranks that do not find together say so when time is up", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const MpiJob job = run(3, "late", 1);
  CHECK(job.code == 6);
  CHECK_THAT(job.output, Contains("of 3: not all ranks have come together within 3 s") &&
                             Contains("; missing: 1\n"));
}

TEST_CASE("mpirun ends a job one of whose ranks is killed", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  CHECK(run(3, "killed", 1).code == 128 + 9);
}

TEST_CASE("a killed rank is named by all others at once", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const int culprit = GENERATE(0, 1);
  const std::string name = "rank " + std::to_string(culprit);
  const MpiJob job = run(3, "killed", culprit, /*survive=*/true);
  CHECK_THAT(job.output, Contains(name + " returned 137"));
  for (int rank = 0; rank < 3; ++rank) {
    if (rank == culprit) continue;
    const std::string other = "rank " + std::to_string(rank);
    CHECK_THAT(job.output, Contains(other + " of 3: all_reduce of gradient bucket"));
  }
  CHECK_THAT(job.output, Contains(name + " is gone: its process has died"));
  CHECK_THAT(job.output, Contains(" returned 6"));  // the others may be ended by the first
}

TEST_CASE("a stopped rank is named, and ended with all others", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const int culprit = GENERATE(0, 1);
  const MpiJob job = run(3, "stopped", culprit);
  CHECK(job.code == 6);
  CHECK_THAT(job.output, Contains("did not finish within 3 s (distributed.timeout_seconds): rank " +
                                  std::to_string(culprit) + " has been silent for"));
}

TEST_CASE("a rank's own error reaches the others, and its code mpirun", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const int culprit = GENERATE(0, 1);
  const MpiJob job = run(3, "failing", culprit);
  CHECK(job.code == 3);
  CHECK_THAT(job.output,
             Contains("rank 2 of 3, step 45: all_reduce of gradient bucket 5 cannot "
                      "finish: rank " +
                      std::to_string(culprit) + " failed: text.bin: truncated at byte 12\n"));
}

TEST_CASE("an error that all ranks have is printed once", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const MpiJob job = run(3, "failing-alike");
  CHECK(job.code == 2);
  const size_t first = job.output.find("error: train.steps is -1");
  REQUIRE(first != std::string::npos);
  CHECK(job.output.find("error: train.steps", first + 1) == std::string::npos);
  CHECK_THAT(job.output, !Contains("MPI_ABORT"));
}

TEST_CASE("a rank that leaves in the midst is missed", "[dist][slow]") {
  SSA_SKIP_WITHOUT_MPIRUN();
  const MpiJob job = run(2, "leaving", 1, /*survive=*/true);
  CHECK_THAT(job.output, Contains("rank 0 returned 6") && Contains("rank 1 returned 9") &&
                             Contains("rank 1 is gone: its process has died"));
}

}  // namespace
}  // namespace ssa::testing
