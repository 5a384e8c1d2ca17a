#include "report/plan_maps.h"

#include <catch2/catch.hpp>

#include "report/report_test_support.h"
#include "sampling/plan_testing.h"

using namespace ssa;
using ssa::report::plan_maps;
using ssa::testing::contains;
using ssa::testing::count;

namespace {

const RngKey kKey{.seed = 3, .purpose = RngPurpose::plan};

/// The ten blocks of Swin-T that sample, with windows of 14, from `make(side, shift)`.
template <class F>
std::vector<PlanSpec> swin_blocks(F make) {
  std::vector<PlanSpec> specs = {make(56, 0), make(56, 7), make(28, 0), make(28, 7)};
  specs.resize(10, make(14, 0));
  return specs;
}

}  // namespace

TEST_CASE("of a decoder the first and the last layer that sample are drawn") {
  std::vector<PlanSpec> specs(3, ssa::testing::local_1d(64, 4, 0.1, true));
  CHECK(count(plan_maps(specs, 2, kKey, 5), "<figure>") == 1);
  CHECK(contains(plan_maps(specs, 2, kKey, 5), "Layer 5: 4 windows, σ\u00a00.1"));
  specs.front().sigma = 0.05;
  const std::string html = plan_maps(specs, 2, kKey, 5);
  CHECK(count(html, "<figure>") == 2);
  CHECK(contains(html, "Layer 3: 4 windows, σ\u00a00.05"));
}

TEST_CASE("of a Swin transformer the first shifted window and the last window are drawn") {
  const std::string local = plan_maps(swin_blocks([](int64_t side, int64_t shift) {
                                        return ssa::testing::swin(side, 14, 7, shift, 0.75);
                                      }),
                                      0, kKey, 3);
  CHECK(count(local, "<figure>") == 2);
  CHECK(contains(local, "Layer 2: 16 windows of 4 sub-windows, σ\u00a00.75"));
  CHECK(contains(local, "Layer 10: 1 window of 4 sub-windows, σ\u00a00.75"));
  const std::string unbiased =
      plan_maps(swin_blocks([](int64_t side, int64_t shift) {
                  return ssa::testing::unbiased_swin(side, 14, shift, 0.75);
                }),
                0, kKey, 3);
  CHECK(count(unbiased, "<figure>") == 2);
  CHECK(contains(unbiased, "Layer 2: 16 windows, 75% dropped"));
  CHECK(contains(unbiased, "Layer 10: 1 window, 75% dropped"));
  CHECK(ssa::testing::nesting_problem(unbiased).empty());
}

TEST_CASE("blocks of a Swin transformer that draw alike are drawn once") {
  const std::vector<PlanSpec> specs(6, ssa::testing::unbiased_swin(14, 14, 0, 0.75));
  const std::string html = plan_maps(specs, 4, kKey, 3);
  CHECK(count(html, "<figure>") == 1);
  CHECK(contains(html, "Layer 10: 1 window, 75% dropped"));
  CHECK(contains(html, ">5</text>"));  // ticks count whole rows
  CHECK_FALSE(contains(html, ">2.5</text>"));
}
