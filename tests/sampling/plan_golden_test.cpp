#include <cstdint>

#include <catch2/catch.hpp>

#include "ssa/sampling/source_plan.h"

#include "sampling/plan_testing.h"

// The expected numbers come from a separate program (plain sorting, Python's own inverse normal
// distribution): if they change, every resumed run and every other backend draws other plans.

namespace ssa {
namespace {

using testing::Rows;

RngKey golden_key() {
  return {
      .seed = 0x0123456789abcdefull, .purpose = RngPurpose::plan, .step = 7, .rank = 3, .layer = 5};
}

Rows golden_sources(const PlanSpec& spec) {
  return testing::sources_of(draw_plan(spec, golden_key()));
}

}  // namespace

TEST_CASE("Golden sequence plans", "[plan]") {
  CHECK(golden_sources(testing::unbiased(20, 0.6)) == Rows{{1, 2, 3, 4, 6, 9, 17, 18}});
  CHECK(golden_sources(testing::local_1d(24, 3, 0.2, false)) ==
        Rows{{0, 1, 2, 3, 4, 5, 6, 9},
             {7, 8, 11, 13, 15, 16, 17, 18},
             {10, 12, 14, 19, 20, 21, 22, 23}});
  CHECK(golden_sources(testing::local_1d(24, 3, 0.2, true)) ==
        Rows{{0, 1, 2, 3, 4, 5, 6, 7},
             {3, 7, 8, 9, 10, 13, 14, 15},
             {12, 15, 16, 18, 19, 20, 22, 23}});
}

TEST_CASE("Golden grid plans", "[plan]") {
  CHECK(golden_sources(testing::blocks_2d(4, 6, 2, 3, 0.3, 0.4)) == Rows{{1, 2, 9, 13, 15, 17},
                                                                         {3, 4, 7, 10, 11, 12},
                                                                         {0, 6, 8, 18, 19, 22},
                                                                         {5, 14, 16, 20, 21, 23}});
  CHECK(
      golden_sources(testing::bands_2d(6, 4, 3, 0.3, 0.4)) ==
      Rows{{0, 1, 2, 3, 4, 5, 6, 7}, {1, 2, 5, 7, 8, 11, 12, 15}, {0, 1, 18, 19, 20, 21, 22, 23}});
}

TEST_CASE("Golden Swin plan", "[plan]") {
  const SourcePlan plan = draw_plan(testing::swin(8, 4, 2, 1, 0.75), golden_key());
  const Rows targets = testing::targets_of(plan);
  const Rows sources = testing::sources_of(plan);
  REQUIRE(targets.size() == 16);
  CHECK(sources[0] == std::vector<int32_t>{10, 11, 17, 34});
  CHECK(sources[1] == std::vector<int32_t>{18, 20, 27, 28});
  CHECK(Rows(targets.end() - 4, targets.end()) ==
        Rows{{45, 46, 53, 54}, {47, 40, 55, 48}, {61, 62, 5, 6}, {63, 56, 7, 0}});
  CHECK(Rows(sources.end() - 4, sources.end()) ==
        Rows{{0, 6, 45, 46}, {40, 47, 48, 54}, {53, 55, 62, 63}, {5, 7, 56, 61}});
}

TEST_CASE("Golden unbiased Swin plan", "[plan]") {
  const SourcePlan plan = draw_plan(testing::unbiased_swin(8, 4, 1, 0.75), golden_key());
  CHECK(testing::targets_of(plan)[1] ==
        std::vector<int32_t>{13, 14, 15, 8, 21, 22, 23, 16, 29, 30, 31, 24, 37, 38, 39, 32});
  CHECK(testing::sources_of(plan) ==
        Rows{{11, 12, 19, 26}, {13, 15, 22, 24}, {2, 3, 42, 58}, {0, 6, 46, 62}});
}

}  // namespace ssa
