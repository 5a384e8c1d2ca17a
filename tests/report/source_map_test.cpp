#include "report/source_map.h"

#include <catch2/catch.hpp>

#include "report/report_test_support.h"

using namespace ssa;
using namespace ssa::report;
using ssa::test::contains;

namespace {

const RngKey kKey{.seed = 3, .purpose = RngPurpose::plan};

PlanSpec local(int64_t positions, int64_t windows, double sigma) {
  PlanSpec spec;
  spec.kind = PlanKind::local_1d;
  spec.positions = positions;
  spec.windows = windows;
  spec.sigma = sigma;
  spec.causal = true;
  return spec;
}

double row_sum(const SourceMap& map, size_t row) {
  double sum = 0;
  for (size_t bin = 0; bin < map.bins; ++bin) sum += map.probability[row * map.bins + bin];
  return sum;
}

}  // namespace

TEST_CASE("without noise a window samples its own positions only") {
  const SourceMap map = estimate_source_map(local(64, 4, 0), kKey, 5);
  REQUIRE(map.rows == 4);
  REQUIRE(map.bins == 64);
  for (size_t row = 0; row < 4; ++row) {
    for (size_t bin = 0; bin < 64; ++bin) {
      CHECK(map.probability[row * 64 + bin] == (bin / 16 == row ? 1.0 : 0.0));
    }
    CHECK(map.target_begin[row] == Approx(0.25 * static_cast<double>(row)));
    CHECK(map.target_end[row] == Approx(0.25 * static_cast<double>(row + 1)));
  }
}

TEST_CASE("with noise probabilities spread to earlier positions, never to later ones") {
  const SourceMap map = estimate_source_map(local(64, 4, 0.1), kKey, 200);
  CHECK(map.draws == 200);
  const auto at = [&](size_t row, size_t bin) { return map.probability[row * map.bins + bin]; };
  CHECK(at(1, 31) > 0.8);
  CHECK(at(1, 16) > 0.2);
  CHECK(at(1, 16) < 0.8);
  CHECK(at(1, 12) > 0.02);
  CHECK(at(1, 12) < at(1, 20));
  CHECK(at(1, 32) == 0);
  for (size_t row = 0; row < 4; ++row) CHECK(row_sum(map, row) == Approx(16));
}

TEST_CASE("an unbiased plan samples all positions equally") {
  PlanSpec spec;
  spec.kind = PlanKind::unbiased;
  spec.positions = 192;
  spec.drop = 0.75;
  const SourceMap map = estimate_source_map(spec, kKey, 200);
  CHECK(map.rows == 1);
  CHECK(map.bins == 96);
  for (const double p : map.probability) CHECK(p == Approx(0.25).margin(0.1));
  CHECK(row_sum(map, 0) == Approx(24));
}

TEST_CASE("windows and positions are put together where there are many") {
  const SourceMap map = estimate_source_map(local(960, 40, 0), kKey, 3);
  CHECK(map.rows == 16);
  CHECK(map.bins == 96);
  CHECK(map.windows == 40);
  // Each row is the mean of its 2 or 3 windows of 24 sources, spread over bins of 10 positions.
  for (size_t row = 0; row < map.rows; ++row) CHECK(row_sum(map, row) == Approx(2.4));
  CHECK(map.target_begin.front() == 0);
  CHECK(map.target_end.back() == 1);
  for (size_t row = 1; row < map.rows; ++row) {
    CHECK(map.target_begin[row] == Approx(map.target_end[row - 1]));
  }
}

TEST_CASE("a long input is drawn shorter, a huge one not at all") {
  const SourceMap map = estimate_source_map(local(int64_t{1} << 20, 4, 0.05), kKey, 2);
  CHECK(map.positions == 8192);
  CHECK(map.draws == 2);
  CHECK(estimate_source_map(local(int64_t{1} << 30, int64_t{1} << 20, 0.05), kKey, 2).draws == 0);
}

TEST_CASE("the picture has a row a window") {
  const std::string html = render(estimate_source_map(local(64, 4, 0.1), kKey, 20), "A <layer>");
  CHECK(ssa::test::count(html, "class=\"own\"") == 4);
  CHECK(contains(html, ">source position</text>"));
  CHECK(contains(html, "fill-opacity=\"1.00\""));
  CHECK(contains(html, "A &lt;layer&gt;"));
  CHECK(ssa::test::nesting_problem(html).empty());
  CHECK(ssa::test::nesting_problem(source_map_scale()).empty());
}
