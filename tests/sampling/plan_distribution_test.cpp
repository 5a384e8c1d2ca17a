#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/sampling/source_plan.h"

#include "sampling/plan_testing.h"

namespace ssa {
namespace {

using testing::draw_key;
using Matrix = std::vector<std::vector<double>>;  // [window][position]

/// The frequency with which each position is a source of each window, over `draws` draws.
Matrix frequencies(const PlanSpec& spec, int64_t draws) {
  Matrix result;
  for (int64_t step = 0; step < draws; ++step) {
    const SourcePlan plan = draw_plan(spec, draw_key(step));
    const auto sources = testing::sources_of(plan);
    result.resize(sources.size(), std::vector<double>(static_cast<size_t>(spec.positions)));
    for (size_t w = 0; w < sources.size(); ++w) {
      for (const int32_t source : sources[w]) {
        result[w][static_cast<size_t>(source)] += 1.0 / static_cast<double>(draws);
      }
    }
  }
  return result;
}

double largest_difference(const Matrix& a, const Matrix& b) {
  double largest = 0.0;
  for (size_t w = 0; w < a.size(); ++w) {
    for (size_t j = 0; j < a[w].size(); ++j) {
      largest = std::max(largest, std::abs(a[w][j] - b[w][j]));
    }
  }
  return largest;
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// Where the noised line 0 … count-1 has `rank` elements below it on average, by bisection.
double cut(int64_t count, double scale, double rank) {
  double low = -20.0 * scale;
  double high = static_cast<double>(count) + 20.0 * scale;
  for (int i = 0; i < 100; ++i) {
    const double middle = 0.5 * (low + high);
    double below = 0.0;
    for (int64_t j = 0; j < count; ++j) {
      below += normal_cdf((middle - static_cast<double>(j)) / scale);
    }
    (below < rank ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

/// Expected frequencies of a local plan in the normal approximation: j lands between two cuts with
/// the probability that its noised place does.
Matrix expected_local(int64_t count, int64_t windows, double scale) {
  Matrix result;
  double from = -1e9;
  for (int64_t v = 1; v <= windows; ++v) {
    const double to = v == windows ? 1e9 : cut(count, scale, double(v * count) / double(windows));
    std::vector<double>& row = result.emplace_back();
    for (int64_t j = 0; j < count; ++j) {
      const auto x = static_cast<double>(j);
      row.push_back(normal_cdf((to - x) / scale) - normal_cdf((from - x) / scale));
    }
    from = to;
  }
  return result;
}

}  // namespace

TEST_CASE("Unbiased sources are uniform and as good as independent", "[plan]") {
  constexpr int kDraws = 4000;
  const PlanSpec spec = testing::unbiased(40, 0.75);
  const Matrix counts = frequencies(spec, kDraws);
  // 40 frequencies of mean 0.25, standard error 0.0068, negatively correlated: the statistic below
  // is chi-square with 39 degrees of freedom, whose 0.9999 quantile is 80.
  double chi_square = 0.0;
  for (const double frequency : counts[0]) {
    chi_square += (frequency - 0.25) * (frequency - 0.25) * kDraws / (0.25 * 0.75) * (39.0 / 40.0);
  }
  CHECK(chi_square < 80.0);
  CHECK(chi_square > 10.0);  // its 0.0001 quantile: not too even to be random either

  // Two neighbours together: 10/40 · 9/39, standard error 0.0037.
  double together = 0.0;
  for (int64_t step = 0; step < kDraws; ++step) {
    const SourcePlan plan = draw_plan(spec, draw_key(step));
    const auto has = [&](int32_t j) {
      return std::binary_search(plan.sources.begin(), plan.sources.end(), j);
    };
    together += has(20) && has(21) ? 1.0 / kDraws : 0.0;
  }
  CHECK(together == Approx(10.0 * 9.0 / (40.0 * 39.0)).margin(0.015));
}

TEST_CASE("Unbiased sources of Swin windows are uniform, and each window draws its own", "[plan]") {
  constexpr int kDraws = 4000;
  for (const int64_t shift : {0, 2}) {
    const PlanSpec spec = testing::unbiased_swin(8, 4, shift, 0.75);
    const Matrix counts = frequencies(spec, kDraws);
    const auto cells = testing::targets_of(draw_plan(spec, draw_key(0)));
    REQUIRE(counts.size() == 4);
    for (size_t w = 0; w < counts.size(); ++w) {
      // 16 frequencies of mean 0.25: chi-square with 15 degrees of freedom, whose 0.0001 and 0.9999
      // quantiles are 2.8 and 44.
      double chi_square = 0.0, inside = 0.0;
      for (const int32_t cell : cells[w]) {
        const double frequency = counts[w][static_cast<size_t>(cell)];
        inside += frequency;
        chi_square += (frequency - 0.25) * (frequency - 0.25) * kDraws / (0.25 * 0.75) * 15 / 16;
      }
      CHECK(inside == Approx(4.0));  // all four sources of a draw
      CHECK(chi_square < 44.0);
      CHECK(chi_square > 2.8);
    }
  }
  // Two windows with the same draw would share all four cells; chance gives one.
  double shared = 0.0;
  const PlanSpec spec = testing::unbiased_swin(8, 4, 0, 0.75);
  for (int64_t step = 0; step < kDraws; ++step) {
    const auto sources = testing::sources_of(draw_plan(spec, draw_key(step)));
    for (const int32_t source : sources[0]) {
      shared += std::binary_search(sources[1].begin(), sources[1].end(), source + 4) ? 1 : 0;
    }
  }
  CHECK(shared / kDraws == Approx(1.0).margin(0.06));  // standard error 0.012
}

TEST_CASE("Large sigma samples uniformly", "[plan]") {
  // Standard errors 0.007 (p = 1/4) and at most 0.008; the largest of 160 stays below 4.5 of them.
  const Matrix line = frequencies(testing::local_1d(40, 4, 1e6, false), 4000);
  CHECK(largest_difference(line, Matrix(4, std::vector<double>(40, 0.25))) < 0.032);
  const Matrix beyond =
      frequencies(testing::local_1d(40, 4, std::numeric_limits<double>::max(), false), 4000);
  CHECK(largest_difference(beyond, Matrix(4, std::vector<double>(40, 0.25))) < 0.032);

  const Matrix causal = frequencies(testing::local_1d(40, 4, 1e6, true), 4000);
  Matrix expected(4, std::vector<double>(40, 0.0));
  for (size_t v = 0; v < 4; ++v) {
    std::fill_n(expected[v].begin(), 10 * (v + 1), 1.0 / static_cast<double>(v + 1));
  }
  CHECK(largest_difference(causal, expected) < 0.036);

  const Matrix grid = frequencies(testing::blocks_2d(6, 8, 3, 4, 1e6, 1e6), 4000);
  CHECK(largest_difference(grid, Matrix(4, std::vector<double>(48, 0.25))) < 0.032);
}

TEST_CASE("Local sources follow the Gaussian of the method", "[plan]") {
  for (const double sigma : {0.05, 0.25}) {
    const Matrix drawn = frequencies(testing::local_1d(256, 4, sigma, false), 2500);
    const Matrix expected = expected_local(256, 4, sigma * 256);
    // Standard error up to 0.01, 1024 values; the normal approximation adds about 0.005.
    CHECK(largest_difference(drawn, expected) < 0.05);
    // The tolerance is small enough to notice another sigma.
    CHECK(largest_difference(drawn, expected_local(256, 4, 1.5 * sigma * 256)) > 0.065);
  }
}

TEST_CASE("Causal local sources follow the Gaussian of the method", "[plan]") {
  constexpr int64_t kCount = 256;
  constexpr int64_t kWindow = 64;
  for (const double sigma : {0.05, 0.25}) {
    const double scale = sigma * kCount;
    const Matrix drawn = frequencies(testing::local_1d(kCount, 4, sigma, true), 2500);
    Matrix expected;
    for (int64_t v = 0; v < 4; ++v) {
      const int64_t visible = (v + 1) * kWindow;
      // The first window takes all it can see.
      const double from = v == 0 ? -1e9 : cut(visible, scale, static_cast<double>(v * kWindow));
      std::vector<double>& row = expected.emplace_back(kCount, 0.0);
      for (int64_t j = 0; j < visible; ++j) {
        row[static_cast<size_t>(j)] = normal_cdf((static_cast<double>(j) - from) / scale);
      }
    }
    CHECK(largest_difference(drawn, expected) < 0.05);
  }
}

TEST_CASE("Local sources agree with a Monte-Carlo of the formula", "[plan]") {
  // Short line, where the normal approximation would be coarse; another generator, plain sorting.
  constexpr int kDraws = 4000;
  const Matrix drawn = frequencies(testing::local_1d(12, 3, 0.2, false), kDraws);
  Matrix expected(3, std::vector<double>(12, 0.0));
  std::mt19937_64 generator(7);
  std::normal_distribution<double> normal;
  for (int draw = 0; draw < kDraws; ++draw) {
    std::vector<std::pair<double, size_t>> line;
    for (size_t j = 0; j < 12; ++j) line.emplace_back(double(j) + 0.2 * 12 * normal(generator), j);
    std::sort(line.begin(), line.end());
    for (size_t i = 0; i < 12; ++i) expected[i / 4][line[i].second] += 1.0 / kDraws;
  }
  CHECK(largest_difference(drawn, expected) < 0.045);  // 4 × sqrt(2) × 0.0079
}

TEST_CASE("The two directions of a grid are independent Gaussians", "[plan]") {
  constexpr int64_t kRows = 16;
  constexpr int64_t kColumns = 24;
  const Matrix drawn = frequencies(testing::blocks_2d(kRows, kColumns, 8, 12, 0.15, 0.3), 3000);
  const Matrix down = expected_local(kRows, 2, 0.15 * kRows);
  const Matrix across = expected_local(kColumns, 2, 0.3 * kColumns);
  Matrix expected;
  for (size_t block = 0; block < 4; ++block) {
    std::vector<double>& row = expected.emplace_back();
    for (size_t j = 0; j < kRows * kColumns; ++j) {
      row.push_back(down[block / 2][j / kColumns] * across[block % 2][j % kColumns]);
    }
  }
  CHECK(largest_difference(drawn, expected) < 0.05);
}

TEST_CASE("Causal bands follow the Gaussian of the method in both directions", "[plan]") {
  constexpr int64_t kRows = 16;
  constexpr int64_t kColumns = 8;
  const Matrix drawn = frequencies(testing::bands_2d(kRows, kColumns, 4, 0.25, 0.25), 3000);
  Matrix expected(4, std::vector<double>(kRows * kColumns, 0.0));
  for (int64_t v = 0; v < 4; ++v) {
    const int64_t visible = (v + 1) * 4;
    const double scale = 0.25 * kRows;  // of the whole grid's side, in every band
    const double from = v == 0 ? -1e9 : cut(visible, scale, static_cast<double>(4 * v));
    for (int64_t j = 0; j < visible * kColumns; ++j) {
      const auto row = static_cast<double>(j / kColumns);
      expected[static_cast<size_t>(v)][static_cast<size_t>(j)] = normal_cdf((row - from) / scale);
    }
  }
  // A line of 4 to 16 rows: the normal approximation is coarser here.
  CHECK(largest_difference(drawn, expected) < 0.06);
}

}  // namespace ssa
