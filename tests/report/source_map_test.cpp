#include "report/source_map.h"

#include <cmath>

#include <catch2/catch.hpp>

#include "report/report_test_support.h"
#include "report/target_map.h"
#include "sampling/plan_testing.h"

using namespace ssa;
using namespace ssa::report;
using ssa::testing::contains;
using ssa::testing::count;

namespace {

const RngKey kKey{.seed = 3, .purpose = RngPurpose::plan};

PlanSpec local(int64_t positions, int64_t windows, double sigma) {
  return ssa::testing::local_1d(positions, windows, sigma, /*causal=*/true);
}

PlanSpec of_kind(PlanKind kind, int64_t positions, bool causal) {
  PlanSpec spec;
  spec.kind = kind;
  spec.positions = positions;
  spec.causal = causal;
  return spec;
}

PlanSpec bands(int64_t rows, int64_t columns, int64_t count, double sigma) {
  PlanSpec spec = of_kind(PlanKind::local_2d, rows * columns, true);
  spec.rows = rows;
  spec.columns = columns;
  spec.windows = count;
  spec.sigma = spec.sigma_columns = sigma;
  return spec;
}

}  // namespace

TEST_CASE("dense attention is certain for all that causality allows") {
  const SourceMap map = estimate_source_map(of_kind(PlanKind::dense, 100, true), kKey, 2);
  REQUIRE(map.bins == SourceMap::kMostBins);
  for (size_t target = 0; target < map.bins; ++target) {
    for (size_t source = 0; source < map.bins; ++source) {
      if (source <= target) {
        CHECK(map.at(target, source) == 1.0);
      } else {
        CHECK(std::isnan(map.at(target, source)));
      }
    }
  }
  const SourceMap all = estimate_source_map(of_kind(PlanKind::dense, 100, false), kKey, 1);
  for (const double probability : all.probability) CHECK(probability == 1.0);
}

TEST_CASE("without noise a target sees its own window only") {
  const SourceMap map = estimate_source_map(local(64, 4, 0), kKey, 5);
  REQUIRE(map.bins == 64);
  for (size_t target = 0; target < 64; ++target) {
    for (size_t source = 0; source <= target; ++source) {
      CHECK(map.at(target, source) == (source / 16 == target / 16 ? 1.0 : 0.0));
    }
  }
}

TEST_CASE("with noise probabilities spread to earlier positions") {
  const SourceMap map = estimate_source_map(local(64, 4, 0.1), kKey, 200);
  CHECK(map.draws == 200);
  CHECK(map.at(31, 31) > 0.8);
  CHECK(map.at(31, 16) > 0.2);
  CHECK(map.at(31, 16) < 0.8);
  CHECK(map.at(31, 12) > 0.02);
  CHECK(map.at(31, 12) < map.at(31, 20));
  CHECK(std::isnan(map.at(31, 32)));
  CHECK(map.at(15, 3) == 1.0);  // the first window has nothing else to sample
  // Every window samples 16 positions, all of which its last target may see.
  for (const size_t last : {15u, 31u, 47u, 63u}) {
    double sum = 0;
    for (size_t source = 0; source <= last; ++source) sum += map.at(last, source);
    CHECK(sum == Approx(16));
  }
}

TEST_CASE("very large noise samples the visible past uniformly") {
  const SourceMap map = estimate_source_map(local(64, 4, 1000), kKey, 200);
  for (size_t source = 0; source < 48; ++source) {
    CHECK(map.at(63, source) == Approx(0.25).margin(0.13));
    if (source < 32) CHECK(map.at(31, source % 32) == Approx(0.5).margin(0.15));
  }
}

TEST_CASE("an unbiased plan samples all positions equally") {
  PlanSpec spec = of_kind(PlanKind::unbiased, 192, true);
  spec.drop = 0.75;
  const SourceMap map = estimate_source_map(spec, kKey, 200);
  CHECK(map.windows == 1);
  CHECK(map.bins == 64);
  for (size_t source = 0; source < 64; ++source) {
    CHECK(map.at(63, source) == Approx(0.25).margin(0.1));
    CHECK(map.at(63, source) == Approx(map.at(40, std::min<size_t>(source, 39))).margin(0.2));
  }
}

TEST_CASE("neighbouring positions share a bin where there are many") {
  // Bins of 15 positions, windows of 24: the second bin is in the first window up to its ninth.
  const SourceMap map = estimate_source_map(local(960, 40, 0), kKey, 3);
  REQUIRE(map.bins == 64);
  CHECK(map.windows == 40);
  CHECK(map.at(0, 0) == 1.0);
  CHECK(map.at(1, 0) == Approx(9.0 / 15));
  // Of its 120 visible pairs 45 are in the first window and 21 in the second.
  CHECK(map.at(1, 1) == Approx(66.0 / 120));
  CHECK(map.at(2, 0) == 0.0);
}

TEST_CASE("a long input is drawn shorter, a huge one not at all") {
  const SourceMap map = estimate_source_map(local(int64_t{1} << 20, 4, 0.05), kKey, 2);
  CHECK(map.positions == 8192);
  CHECK(map.draws == 2);
  CHECK(estimate_source_map(local(int64_t{1} << 30, int64_t{1} << 20, 0.05), kKey, 2).draws == 0);
}

TEST_CASE("a grid is drawn by its rows, with its bands") {
  const SourceMap map = estimate_source_map(bands(8, 24, 4, 0.0), kKey, 5);
  REQUIRE(map.bins == 8);
  CHECK(map.windows == 4);
  CHECK(map.axis_end == 8);
  for (size_t target = 0; target < 8; ++target) {
    for (size_t source = 0; source <= target; ++source) {
      CHECK(map.at(target, source) == (source / 2 == target / 2 ? 1.0 : 0.0));
    }
  }
  const std::string html = render(map, "Bands");
  CHECK(contains(html, ">source row</text>"));
  CHECK(count(html, "class=\"own\"") == 1);
}

TEST_CASE("each band of a grid samples as many sources as it has targets") {
  const SourceMap map = estimate_source_map(bands(8, 24, 4, 0.25), kKey, 100);
  for (const size_t last : {1u, 3u, 5u, 7u}) {
    double rows = 0;
    for (size_t source = 0; source < last; ++source) rows += map.at(last, source);
    // Of the target's own row the part before it is seen.
    CHECK(rows + map.at(last, last) == Approx(2).margin(0.1));
  }
  CHECK(map.at(7, 6) > map.at(7, 0));
  CHECK(map.at(5, 2) > 0.02);
}

TEST_CASE("bands of CIFAR-10 sample as much of themselves as another implementation found") {
  const SourceMap map = estimate_source_map(bands(32, 96, 4, 0.25), kKey, 20);
  const double expected[] = {1.0, 0.69, 0.66, 0.65};
  for (size_t band = 0; band < 4; ++band) {
    CAPTURE(band);
    const size_t begin = 8 * band, last = begin + 7;  // which sees all rows of its band
    double own = 0;
    for (size_t source = begin; source <= last; ++source) own += map.at(last, source) / 8;
    CHECK(own == Approx(expected[band]).margin(0.015));
  }
}

TEST_CASE("a large grid is drawn smaller in both directions") {
  const PlanSpec small = shortened(bands(256, 768, 4, 0.25));
  CHECK(small.rows == 52);
  CHECK(small.columns == 156);
  CHECK(small.positions == 52 * 156);
  CHECK(estimate_source_map(bands(256, 768, 4, 0.25), kKey, 1).bins == 52);
}

TEST_CASE("without noise a target of a grid sees its band before it") {
  const TargetMap map = estimate_target_map(bands(8, 24, 4, 0.0), kKey, 5);
  REQUIRE(map.rows == 8);
  REQUIRE(map.columns == 8);  // three sub-pixels a cell
  CHECK(map.target_row == 5);
  CHECK(map.target_column == 4);
  CHECK(map.own == std::vector<TargetMap::Area>{{4, 0, 6, 8}});
  for (int64_t row = 0; row < 8; ++row) {
    for (int64_t column = 0; column < 8; ++column) {
      const bool before = row * 8 + column <= 5 * 8 + 4;
      if (!before) CHECK(std::isnan(map.at(row, column)));
      if (before) CHECK(map.at(row, column) == (row >= 4 ? 1.0 : 0.0));
    }
  }
}

TEST_CASE("with noise a target of a grid sees nearer rows more often") {
  const TargetMap map = estimate_target_map(bands(16, 48, 4, 0.25), kKey, 200);
  double above = 0, beside = 0, far = 0;
  for (int64_t i = 0; i < 4; ++i) {
    beside += map.at(map.target_row - 1, map.target_column - i);
    above += map.at(map.own.front().top - 1, i);
    far += map.at(0, i);
  }
  CHECK(beside > above);
  CHECK(above > far);
  CHECK(far < 1);
  const std::string html = render(map, "<Around>");
  CHECK(contains(html, "<title>&lt;Around&gt;</title>"));
  CHECK(count(html, "class=\"target\"") == 1);
  CHECK(count(html, "class=\"own\"") == 1);
  CHECK(ssa::testing::nesting_problem(html).empty());
}

TEST_CASE("without noise a target of a shifted Swin window sees its sub-window") {
  const TargetMap map = estimate_target_map(ssa::testing::swin(16, 4, 2, 2, 0.0), kKey, 5);
  REQUIRE(map.rows == 16);
  REQUIRE(map.columns == 16);
  // The second of four windows in each direction begins at 4 + 2.
  CHECK(map.own == std::vector<TargetMap::Area>{{6, 6, 8, 8}});
  CHECK(map.target_row == 7);
  CHECK(map.target_column == 7);
  for (int64_t row = 0; row < 16; ++row) {
    for (int64_t column = 0; column < 16; ++column) {
      const bool in_window = row >= 6 && row < 10 && column >= 6 && column < 10;
      if (!in_window) CHECK(std::isnan(map.at(row, column)));
      if (in_window) CHECK(map.at(row, column) == (row < 8 && column < 8 ? 1.0 : 0.0));
    }
  }
  CHECK(contains(render(map, "Window"), ">other windows: not visible</text>"));
}

TEST_CASE("with noise a target of a Swin window sees its sub-window more often") {
  const TargetMap map = estimate_target_map(ssa::testing::swin(16, 8, 4, 4, 0.3), kKey, 200);
  double own = 0, window = 0;
  for (int64_t row = 4; row < 12; ++row) {
    for (int64_t column = 4; column < 12; ++column) {
      window += map.at(row, column);
      if (row < 8 && column < 8) own += map.at(row, column);
    }
  }
  CHECK(window == Approx(16));
  CHECK(own > 6);
  CHECK(own < 12);
}

TEST_CASE("a target of an unbiased Swin window sees all its cells equally often") {
  const TargetMap map = estimate_target_map(ssa::testing::unbiased_swin(16, 4, 2, 0.75), kKey, 400);
  CHECK(map.own == std::vector<TargetMap::Area>{{6, 6, 10, 10}});
  double sum = 0;
  for (int64_t row = 6; row < 10; ++row) {
    for (int64_t column = 6; column < 10; ++column) {
      sum += map.at(row, column);
      CHECK(map.at(row, column) == Approx(0.25).margin(0.09));  // four standard errors
    }
  }
  CHECK(sum == Approx(4));
  CHECK(std::isnan(map.at(5, 6)));
  CHECK(std::isnan(map.at(6, 10)));
}

TEST_CASE("a Swin window that wraps around the edges is framed in parts") {
  const TargetMap map = estimate_target_map(ssa::testing::unbiased_swin(8, 8, 3, 0.0), kKey, 2);
  CHECK(map.own ==
        std::vector<TargetMap::Area>{{3, 3, 8, 8}, {3, 0, 8, 3}, {0, 3, 3, 8}, {0, 0, 3, 3}});
  CHECK(map.target_row == 7);
  for (int64_t row = 0; row < 8; ++row) {
    for (int64_t column = 0; column < 8; ++column) CHECK(map.at(row, column) == 1.0);
  }
  const PlanSpec inside = ssa::testing::unbiased_swin(8, 4, 2, 0.0);
  CHECK(estimate_target_map(inside, kKey, 1).own == std::vector<TargetMap::Area>{{2, 2, 6, 6}});
}

TEST_CASE("the picture has a title, and equal cells are drawn as one") {
  const std::string html = render(estimate_source_map(local(64, 4, 0), kKey, 20), "A <layer>");
  CHECK(contains(html, "<title>A &lt;layer&gt;</title><desc>Targets down, sources across"));
  CHECK(contains(html, ">source position</text>"));
  CHECK(contains(html, ">target position</text>"));
  CHECK(contains(html, ">future: not visible</text>"));
  CHECK(count(html, "class=\"own\"") == 1);
  CHECK(count(html, "<path class=\"heat\"") == 1);  // all certain
  const size_t begin = html.find("<path class=\"heat\"");
  // Each window is a staircase of 16 columns.
  CHECK(count(html.substr(begin, html.find("/>", begin) - begin), "z") == 64);
  CHECK(ssa::testing::nesting_problem(html).empty());
}
