#include "report/connectivity.h"

#include <catch2/catch.hpp>

#include "sampling/plan_testing.h"

using namespace ssa;
using namespace ssa::report;

namespace {

const RngKey kKey{.seed = 3, .purpose = RngPurpose::plan};

PlanSpec local(int64_t positions, int64_t windows, double sigma) {
  return ssa::testing::local_1d(positions, windows, sigma, /*causal=*/true);
}

SourcePlan plan(int64_t windows, std::vector<int32_t> targets, std::vector<int32_t> sources) {
  SourcePlan result;
  result.positions = static_cast<int64_t>(targets.size());
  result.windows = windows;
  result.targets_per_window = result.positions / windows;
  result.sources_per_window = static_cast<int64_t>(sources.size()) / windows;
  result.targets = std::move(targets);
  result.sources = std::move(sources);
  return result;
}

}  // namespace

TEST_CASE("what reaches a target, worked out by hand") {
  // Four positions in two windows. Through the first layer, window {2, 3} samples 1 and 3:
  //   0 from {0}; 1 from {0, 1}; 2 from {1} and itself; 3 from {1, 3}.
  const SourcePlan first = plan(2, {0, 1, 2, 3}, {0, 1, 1, 3});
  // Through the second, it samples 0 and 2:
  //   2 from 0 and 2: {0, 1, 2}; 3 from 0, 2 and itself: {0, 1, 2, 3}.
  const SourcePlan second = plan(2, {0, 1, 2, 3}, {0, 1, 0, 2});
  const std::vector<double> parts = reached_parts({first, second}, true);
  REQUIRE(parts.size() == 2);
  CHECK(parts[0] == Approx((1 + 1 + 2.0 / 3 + 2.0 / 4) / 4));
  CHECK(parts[1] == Approx(1));
  // In the other order the second layer adds 0 to neither: 2 from {0, 1, 2}; 3 from {0, 1, 2, 3}.
  CHECK(reached_parts({second, first}, true)[0] == Approx((1 + 1 + 2.0 / 3 + 3.0 / 4) / 4));
}

TEST_CASE("without causality later sources count, and the whole input is the measure") {
  const SourcePlan first = plan(2, {0, 1, 2, 3}, {0, 3, 1, 2});
  // 0: {0, 3}; 1: {0, 1, 3}; 2: {1, 2}; 3: {1, 2, 3}.
  const std::vector<double> parts = reached_parts({first, first}, false);
  CHECK(parts[0] == Approx((2 + 3 + 2 + 3) / 16.0));
  // 0 from 0, 3: all four; 1 all; 2 from 1, 2: all; 3 all.
  CHECK(parts[1] == Approx(1));
  CHECK(reached_parts({}, true).empty());
}

TEST_CASE("targets may come in any order") {
  const SourcePlan shuffled = plan(2, {3, 2, 1, 0}, {1, 3, 0, 1});
  CHECK(reached_parts({shuffled}, true)[0] == Approx((1 + 1 + 2.0 / 3 + 2.0 / 4) / 4));
}

TEST_CASE("a dense layer reaches everything") {
  PlanSpec dense;
  dense.positions = 130;  // not a multiple of 64
  dense.causal = true;
  const Connectivity pathways = estimate_connectivity({dense, dense}, 0, kKey, 3);
  CHECK(pathways.draws == 3);
  REQUIRE(pathways.reached.size() == 2);
  CHECK(pathways.reached[0] == Approx(1));
  CHECK(pathways.reached[1] == Approx(1));
}

TEST_CASE("plain windows never grow, noisy ones do layer by layer") {
  const std::vector<PlanSpec> plain(3, local(64, 4, 0));
  const Connectivity fixed = estimate_connectivity(plain, 0, kKey, 2);
  double own = 0;  // target t reaches what its window has up to t
  for (int t = 0; t < 64; ++t) own += (t % 16 + 1.0) / (t + 1.0) / 64;
  for (const double part : fixed.reached) CHECK(part == Approx(own));

  const std::vector<PlanSpec> noisy(4, local(64, 4, 0.1));
  const Connectivity growing = estimate_connectivity(noisy, 0, kKey, 20);
  CHECK(growing.draws == 20);
  CHECK(growing.reached[0] < 0.75);
  for (size_t n = 1; n < 4; ++n) CHECK(growing.reached[n] > growing.reached[n - 1]);
  CHECK(growing.reached[3] > 0.9);
}

TEST_CASE("a single layer connects what its plan samples") {
  PlanSpec spec;
  spec.kind = PlanKind::unbiased;
  spec.positions = 1000;
  spec.drop = 0.75;
  spec.causal = true;
  const Connectivity pathways = estimate_connectivity({spec}, 2, kKey, 10);
  CHECK(pathways.reached[0] == Approx(0.25).margin(0.03));
}

TEST_CASE("long inputs are drawn shorter, too many windows not at all") {
  const Connectivity pathways = estimate_connectivity({local(1 << 20, 4, 0.05)}, 0, kKey, 1);
  CHECK(pathways.positions == 8192);
  CHECK(pathways.draws == 1);
  const Connectivity none =
      estimate_connectivity({local(int64_t{1} << 30, int64_t{1} << 20, 0.05)}, 0, kKey, 1);
  CHECK(none.draws == 0);
  CHECK(none.reached.empty());
  CHECK(estimate_connectivity({}, 0, kKey, 1).draws == 0);
}

TEST_CASE("pathways lead through the stage of a Swin transformer, but not from stage to stage") {
  const PlanSpec window = ssa::testing::unbiased_swin(14, 14, 0, 0.75);
  CHECK(estimate_connectivity({window, window}, 0, kKey, 5).reached[0] ==
        Approx(0.25).margin(0.01));
  const PlanSpec below = ssa::testing::unbiased_swin(28, 14, 0, 0.75);
  CHECK(estimate_connectivity({below, window}, 0, kKey, 5).draws == 0);
  const PlanSpec shifted = ssa::testing::unbiased_swin(28, 14, 7, 0.75);
  CHECK(estimate_connectivity({below, shifted}, 0, kKey, 5).draws == 0);
}
