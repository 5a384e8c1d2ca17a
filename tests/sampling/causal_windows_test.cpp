#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/philox.h"
#include "ssa/sampling/source_plan.h"

#include "sampling/plan_testing.h"

namespace ssa {
namespace {

/// The definition: window v orders all positions up to its end by their noised places, and takes
/// the last ones.
std::vector<int32_t> plain_sources(const PlanSpec& spec, const RngKey& key) {
  const int64_t size = spec.positions / spec.windows;
  const double scale = std::min(spec.sigma, 1e12) * static_cast<double>(spec.positions);
  std::vector<int32_t> sources;
  for (int64_t v = 0; v < spec.windows; ++v) {
    const RngKey stream = key.with_stream(v);
    std::vector<std::pair<double, int32_t>> order;
    for (int32_t j = 0; j < (v + 1) * size; ++j) {
      order.emplace_back(j + scale * normal_from_word(stream.word(static_cast<uint64_t>(j))), j);
    }
    std::sort(order.begin(), order.end());
    for (auto element = order.end() - size; element != order.end(); ++element) {
      sources.push_back(element->second);
    }
    std::sort(sources.end() - size, sources.end());
  }
  return sources;
}

}  // namespace

TEST_CASE("Causal windows are the last of the noised order, however far the noise reaches",
          "[plan]") {
  const double sigma = GENERATE(0.0, 1e-9, 0.0005, 0.004, 0.02, 0.1, 0.5, 3.0, 1e6, 1e300);
  const auto [positions, windows] = GENERATE(
      table<int64_t, int64_t>({{12, 1}, {12, 12}, {45, 5}, {1024, 4}, {1001, 91}, {4096, 64}}));
  const PlanSpec spec = testing::local_1d(positions, windows, sigma, true);
  for (int64_t step = 0; step < 5; ++step) {
    INFO("sigma " << sigma << ", N " << positions << ", windows " << windows << ", step " << step);
    const SourcePlan plan = draw_plan(spec, testing::draw_key(step));
    REQUIRE(plan.sources == plain_sources(spec, testing::draw_key(step)));
  }
}

}  // namespace ssa
