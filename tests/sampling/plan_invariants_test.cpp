#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/sampling/source_plan.h"

#include "sampling/plan_testing.h"

namespace ssa {
namespace {

using testing::draw_key;

std::vector<PlanSpec> all_kinds() {
  PlanSpec dense;
  dense.positions = 30;
  PlanSpec oblong = testing::swin(12, 6, 3, 2, 0.75);
  oblong.columns = 8;
  oblong.window_columns = 4;
  oblong.block_columns = 2;
  oblong.shift_columns = 0;
  oblong.positions = 96;
  PlanSpec unbiased_oblong = oblong;
  unbiased_oblong.kind = PlanKind::unbiased_swin_windows;
  unbiased_oblong.drop = 0.7;
  return {dense,
          testing::unbiased(31, 0.0),
          testing::unbiased(50, 0.2),
          testing::unbiased(7, 0.9),
          testing::local_1d(48, 4, 0.1, false),
          testing::local_1d(45, 5, 0.5, true),
          testing::local_1d(12, 12, 0.25, true),
          testing::local_1d(9, 1, 0.25, false),
          testing::blocks_2d(6, 10, 3, 5, 0.3, 0.2),
          testing::blocks_2d(1, 12, 1, 4, 0.3, 0.2),
          testing::bands_2d(8, 6, 4, 0.25, 0.25),
          testing::swin(28, 14, 7, 0, 0.75),
          testing::swin(28, 14, 7, 7, 0.75),
          oblong,
          testing::unbiased_swin(28, 14, 0, 0.75),
          testing::unbiased_swin(28, 14, 7, 0.75),
          testing::unbiased_swin(28, 14, 3, 0.0),
          unbiased_oblong};
}

bool causal_window(const SourcePlan& plan, size_t window) {
  const auto sources = testing::sources_of(plan)[window];
  return sources.back() < (static_cast<int64_t>(window) + 1) * plan.targets_per_window;
}

/// The number of the (shifted) Swin window that a position is in.
int64_t swin_window_of(const PlanSpec& spec, int32_t position) {
  const int64_t row = (position / spec.columns - spec.shift_rows + spec.rows) % spec.rows;
  const int64_t column =
      (position % spec.columns - spec.shift_columns + spec.columns) % spec.columns;
  return row / spec.window_rows * (spec.columns / spec.window_columns) +
         column / spec.window_columns;
}

}  // namespace

TEST_CASE("Every plan keeps the invariants", "[plan]") {
  for (const PlanSpec& spec : all_kinds()) {
    for (int64_t step = 0; step < 20; ++step) {
      const SourcePlan plan = draw_plan(spec, draw_key(step));
      INFO("kind " << static_cast<int>(spec.kind) << ", N " << spec.positions);
      REQUIRE(plan.positions == spec.positions);
      REQUIRE(plan.windows * plan.targets_per_window == spec.positions);
      REQUIRE(static_cast<int64_t>(plan.sources.size()) == plan.windows * plan.sources_per_window);

      std::vector<int32_t> targets = plan.targets;
      std::sort(targets.begin(), targets.end());
      std::vector<int32_t> everyone(static_cast<size_t>(spec.positions));
      std::iota(everyone.begin(), everyone.end(), 0);
      REQUIRE(targets == everyone);

      for (const auto& sources : testing::sources_of(plan)) {
        REQUIRE(std::is_sorted(sources.begin(), sources.end()));
        REQUIRE(std::adjacent_find(sources.begin(), sources.end()) == sources.end());
        REQUIRE(sources.front() >= 0);
        REQUIRE(sources.back() < spec.positions);
      }
    }
  }
}

TEST_CASE("A spec says how large its plans are without a draw", "[plan]") {
  for (const PlanSpec& spec : all_kinds()) {
    const SourcePlan plan = draw_plan(spec, draw_key(0));
    const PlanShape shape = plan_shape(spec);
    INFO("kind " << static_cast<int>(spec.kind) << ", N " << spec.positions);
    CHECK(shape == PlanShape{plan.windows, plan.targets_per_window, plan.sources_per_window});
    CHECK(static_cast<int64_t>(plan.targets.size()) == shape.windows * shape.targets_per_window);
    CHECK(static_cast<int64_t>(plan.sources.size()) == shape.windows * shape.sources_per_window);
    CHECK(sampled_fraction(spec) == plan.sampled_fraction());
  }
  CHECK(plan_shape(testing::swin(56, 14, 7, 7, 0.75)) == PlanShape{64, 49, 49});
  CHECK(plan_shape(testing::bands_2d(32, 96, 4, 0.25, 0.25)) == PlanShape{4, 768, 768});
  CHECK(sampled_fraction(testing::swin(56, 14, 7, 7, 0.75)) == 1.0 / 64);
  CHECK(plan_shape(testing::unbiased_swin(56, 14, 7, 0.75)) == PlanShape{16, 196, 49});
  CHECK(sampled_fraction(testing::unbiased_swin(56, 14, 7, 0.75)) == 1.0 / 64);
  CHECK(plan_shape(testing::unbiased_swin(9, 3, 0, 0.5)) == PlanShape{9, 9, 5});  // round(4.5)
}

TEST_CASE("Plans that partition the sources use each exactly once", "[plan]") {
  for (const PlanSpec& spec :
       {testing::local_1d(48, 4, 0.5, false), testing::blocks_2d(6, 10, 3, 5, 0.3, 0.2),
        testing::swin(28, 14, 7, 7, 0.75)}) {
    std::vector<int32_t> sources = draw_plan(spec, draw_key(1)).sources;
    std::sort(sources.begin(), sources.end());
    for (size_t i = 0; i < sources.size(); ++i) REQUIRE(sources[i] == static_cast<int32_t>(i));
  }
}

TEST_CASE("The sizes of a plan are those of the method", "[plan]") {
  PlanSpec dense;
  dense.positions = 12;
  SourcePlan plan = draw_plan(dense, draw_key(0));
  CHECK(plan.sources == plan.targets);
  CHECK(plan.sampled_fraction() == 1.0);

  plan = draw_plan(testing::unbiased(3072, 0.2), draw_key(0));
  CHECK(plan.windows == 1);
  CHECK(plan.targets_per_window == 3072);
  CHECK(plan.sources_per_window == 2458);  // round(2457.6)
  CHECK(plan.sampled_fraction() == Approx(2458.0 / 3072.0));

  for (const bool causal : {false, true}) {
    plan = draw_plan(testing::local_1d(3072, 4, 0.1, causal), draw_key(0));
    CHECK(plan.windows == 4);
    CHECK(plan.targets_per_window == 768);
    CHECK(plan.sources_per_window == 768);
    CHECK(plan.sampled_fraction() == Approx(0.25));
  }
  plan = draw_plan(testing::bands_2d(32, 96, 4, 0.25, 0.25), draw_key(0));
  CHECK(plan.windows == 4);
  CHECK(plan.sources_per_window == 768);
  plan = draw_plan(testing::swin(56, 14, 7, 7, 0.75), draw_key(0));
  CHECK(plan.windows == 64);
  CHECK(plan.targets_per_window == 49);
  CHECK(plan.sources_per_window == 49);
  CHECK(SourcePlan().sampled_fraction() == 0.0);
}

TEST_CASE("A causal window sees nothing behind its last target", "[plan]") {
  for (const double sigma : {0.02, 0.25, 1e6}) {
    for (int64_t step = 0; step < 50; ++step) {
      const SourcePlan line = draw_plan(testing::local_1d(96, 6, sigma, true), draw_key(step));
      for (size_t v = 0; v < 6; ++v) REQUIRE(causal_window(line, v));
      const SourcePlan grid = draw_plan(testing::bands_2d(12, 8, 6, sigma, sigma), draw_key(step));
      for (size_t v = 0; v < 6; ++v) REQUIRE(causal_window(grid, v));
    }
  }
  // Not so without causality: the test above can fail.
  bool leaks = false;
  for (size_t v = 0; v < 6; ++v) {
    leaks |= !causal_window(draw_plan(testing::local_1d(96, 6, 0.25, false), draw_key(0)), v);
  }
  CHECK(leaks);
}

TEST_CASE("Sigma 0 gives plain windows", "[plan]") {
  for (const PlanSpec& spec :
       {testing::local_1d(40, 5, 0.0, false), testing::local_1d(40, 5, 0.0, true),
        testing::blocks_2d(6, 8, 3, 2, 0.0, 0.0), testing::bands_2d(6, 8, 3, 0.0, 0.0)}) {
    const SourcePlan plan = draw_plan(spec, draw_key(3));
    CHECK(plan.sources == plan.targets);
  }
  for (const int64_t shift : {0, 3, 7}) {
    const SourcePlan plan = draw_plan(testing::swin(28, 14, 7, shift, 0.0), draw_key(3));
    auto targets = testing::targets_of(plan);
    for (auto& window : targets) std::sort(window.begin(), window.end());
    CHECK(testing::sources_of(plan) == targets);
  }
}

TEST_CASE("Block targets are the block's cells", "[plan]") {
  const SourcePlan plan = draw_plan(testing::blocks_2d(4, 6, 2, 3, 0.3, 0.3), draw_key(0));
  CHECK(testing::targets_of(plan) == testing::Rows{{0, 1, 2, 6, 7, 8},
                                                   {3, 4, 5, 9, 10, 11},
                                                   {12, 13, 14, 18, 19, 20},
                                                   {15, 16, 17, 21, 22, 23}});
}

TEST_CASE("A Swin window's sources never leave it", "[plan]") {
  for (const int64_t shift : {0, 3, 7}) {
    const PlanSpec spec = testing::swin(28, 14, 7, shift, 0.75);
    const SourcePlan plan = draw_plan(spec, draw_key(5));
    const auto window_of = [&](int32_t position) { return swin_window_of(spec, position); };
    const auto sources = testing::sources_of(plan);
    const auto targets = testing::targets_of(plan);
    REQUIRE(sources.size() == 16);
    int moved = 0;  // out of their own sub-window
    for (size_t w = 0; w < sources.size(); ++w) {
      for (const int32_t target : targets[w]) REQUIRE(window_of(target) == int64_t(w) / 4);
      for (const int32_t source : sources[w]) {
        REQUIRE(window_of(source) == static_cast<int64_t>(w) / 4);
        moved += std::find(targets[w].begin(), targets[w].end(), source) == targets[w].end();
      }
    }
    CHECK(moved > 300);  // of 784: sigma 0.75 mixes the four sub-windows well
  }
}

TEST_CASE("An unbiased Swin window samples its own cells for all of them", "[plan]") {
  for (const int64_t shift : {0, 3, 7}) {
    const PlanSpec spec = testing::unbiased_swin(28, 14, shift, 0.75);
    const SourcePlan plan = draw_plan(spec, draw_key(5));
    const auto sources = testing::sources_of(plan), targets = testing::targets_of(plan);
    REQUIRE(sources.size() == 4);
    for (size_t w = 0; w < sources.size(); ++w) {
      REQUIRE(targets[w].size() == 196);
      REQUIRE(sources[w].size() == 49);
      for (const auto& positions : {targets[w], sources[w]}) {
        for (const int32_t position : positions) {
          REQUIRE(swin_window_of(spec, position) == static_cast<int64_t>(w));
        }
      }
    }
  }
}

TEST_CASE("A plan is a pure function of its key", "[plan]") {
  const std::vector<PlanSpec> specs = all_kinds();
  std::vector<SourcePlan> forward;
  for (const PlanSpec& spec : specs) forward.push_back(draw_plan(spec, draw_key(11)));
  // Drawn again in another thread, in the opposite order, from a key whose stream was used.
  std::vector<SourcePlan> backward(specs.size());
  std::thread other([&] {
    for (size_t i = specs.size(); i-- > 0;) {
      backward[i] = draw_plan(specs[i], draw_key(11).with_stream(77));
    }
  });
  other.join();
  CHECK(forward == backward);
}

TEST_CASE("Other seeds, steps, layers, ranks and purposes draw other plans", "[plan]") {
  for (const PlanSpec& spec :
       {testing::unbiased(200, 0.5), testing::local_1d(200, 4, 0.2, false),
        testing::local_1d(200, 4, 0.2, true), testing::blocks_2d(10, 20, 5, 5, 0.3, 0.3),
        testing::bands_2d(10, 20, 5, 0.3, 0.3), testing::swin(28, 14, 7, 7, 0.75),
        testing::unbiased_swin(28, 14, 7, 0.75)}) {
    const RngKey key = draw_key(1);
    std::vector<RngKey> keys = {key, key.with_layer(1), key.with_purpose(RngPurpose::ensemble)};
    keys.push_back(key);
    keys.back().seed += 1;
    keys.push_back(key);
    keys.back().step += 1;
    keys.push_back(key);
    keys.back().rank += 1;
    std::set<std::vector<int32_t>> seen;
    for (const RngKey& each : keys) seen.insert(draw_plan(spec, each).sources);
    CHECK(seen.size() == keys.size());
  }
}

TEST_CASE("Windows that shuffle by themselves draw different numbers", "[plan]") {
  // The same local positions in two Swin windows, or two windows of one causal plan, would
  // otherwise make the same choice.
  const auto swin_sources =
      testing::sources_of(draw_plan(testing::swin(28, 14, 7, 0, 0.75), draw_key(2)));
  std::vector<int32_t> second = swin_sources[4];  // first sub-window of the window at column 14
  for (int32_t& position : second) position -= 14;
  CHECK(second != swin_sources[0]);
  const auto unbiased =
      testing::sources_of(draw_plan(testing::unbiased_swin(28, 14, 0, 0.75), draw_key(2)));
  second = unbiased[1];
  for (int32_t& position : second) position -= 14;
  CHECK(second != unbiased[0]);

  // If bands shared a stream, band v + 1 would see band v's noise on the shared prefix: with equal
  // noise, uniform-size sigma makes the top T of the longer line the top of the shorter one or new.
  const auto causal =
      testing::sources_of(draw_plan(testing::local_1d(400, 4, 1e6, true), draw_key(2)));
  int from_shared = 0;
  int kept = 0;
  for (const int32_t position : causal[3]) {
    if (position >= 300) continue;
    ++from_shared;
    kept += std::binary_search(causal[2].begin(), causal[2].end(), position);
  }
  CHECK(from_shared > 50);
  CHECK(kept < from_shared * 2 / 3);  // a shared stream would give all, own streams a third
}

TEST_CASE("A horizontal shuffle keeps rows, a vertical one keeps columns", "[plan]") {
  const auto rows_only =
      testing::sources_of(draw_plan(testing::blocks_2d(8, 12, 4, 3, 0.0, 0.7), draw_key(4)));
  for (size_t w = 0; w < rows_only.size(); ++w) {
    for (const int32_t source : rows_only[w]) {
      REQUIRE(static_cast<size_t>(source / 12 / 4) == w / 4);
    }
  }
  const auto columns_only =
      testing::sources_of(draw_plan(testing::blocks_2d(8, 12, 4, 3, 0.7, 0.0), draw_key(4)));
  for (size_t w = 0; w < columns_only.size(); ++w) {
    for (const int32_t source : columns_only[w]) {
      REQUIRE(static_cast<size_t>(source % 12 / 3) == w % 4);
    }
  }
  // Horizontally first: each original row leaves one element in each column, so any strip of
  // three columns holds three of each row. The other way round that would be chance.
  const auto both =
      testing::sources_of(draw_plan(testing::blocks_2d(8, 12, 4, 3, 0.7, 0.7), draw_key(4)));
  for (size_t strip = 0; strip < 4; ++strip) {
    std::vector<int> count(8);
    for (const size_t w : {strip, strip + 4}) {
      for (const int32_t source : both[w]) ++count[static_cast<size_t>(source / 12)];
    }
    REQUIRE(count == std::vector<int>(8, 3));
  }
}

TEST_CASE("draws over a line are those of plans, for any number of positions", "[sampling]") {
  const SourcePlan unbiased = draw_plan(testing::unbiased(31, 0.3), draw_key(5));
  CHECK(draw_kept_positions(31, 0.3, draw_key(5)) == unbiased.sources);
  CHECK(draw_kept_positions(1, 0.6, draw_key(5)).empty());
  CHECK(draw_kept_positions(1, 0.5, draw_key(5)) == std::vector<int32_t>{0});
  CHECK(draw_kept_positions(15, 0.1, draw_key(5)).size() == 14);  // 13.5, rounded

  std::vector<int32_t> order = draw_noisy_order(48, 0.1, draw_key(5));
  const SourcePlan local = draw_plan(testing::local_1d(48, 4, 0.1, false), draw_key(5));
  for (auto first = order.begin(); first != order.end(); first += 12) std::sort(first, first + 12);
  CHECK(order == local.sources);
  std::sort(order.begin(), order.end());
  for (int32_t i = 0; i < 48; ++i) CHECK(order[static_cast<size_t>(i)] == i);
}

}  // namespace ssa
