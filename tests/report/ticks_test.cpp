#include "report/ticks.h"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

using namespace ssa::report;

namespace {

std::vector<std::string> labels(double low, double high, int most) {
  return tick_labels(nice_ticks({low, high}, most));
}
using Words = std::vector<std::string>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("ticks are round numbers with the digits they need") {
  CHECK(labels(0, 600, 6) == Words{"0", "200", "400", "600"});
  CHECK(labels(0, 1, 6) == Words{"0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(labels(1.73, 1.91, 5) == Words{"1.75", "1.80", "1.85", "1.90"});
  CHECK(labels(0, 0.003, 4) == Words{"0", "0.001", "0.002", "0.003"});
  CHECK(labels(0, 11, 5) == Words{"0", "2.5", "5.0", "7.5", "10.0"});
  CHECK(labels(-1, 1, 5) == Words{"-1.0", "-0.5", "0", "0.5", "1.0"});
}

TEST_CASE("large ticks carry a prefix") {
  CHECK(labels(0, 64000, 5) == Words{"0", "20k", "40k", "60k"});
  CHECK(labels(0, 2.4e6, 4) == Words{"0", "1M", "2M"});
  CHECK(labels(0, 1e6, 4) == Words{"0", "0.5M", "1.0M"});
}

TEST_CASE("ticks lie in the range, are evenly spaced and not too many") {
  for (const double low : {-7.3e5, -2.0, 0.0, 0.013, 123.4}) {
    for (const double size : {1e-3, 0.77, 3.1, 5e4}) {
      for (const int most : {2, 4, 7}) {
        const Range range{low, low + size};
        const std::vector<double> ticks = nice_ticks(range, most);
        INFO(low << " + " << size << ", at most " << most);
        REQUIRE(ticks.size() <= static_cast<size_t>(most));
        if (most >= 4) REQUIRE(ticks.size() >= 2);
        for (size_t i = 0; i < ticks.size(); ++i) {
          CHECK(ticks[i] >= low - 1e-6 * size);
          CHECK(ticks[i] <= low + size * (1 + 1e-6));
          if (i > 1) CHECK(ticks[i] - ticks[i - 1] == Approx(ticks[1] - ticks[0]));
        }
      }
    }
  }
}

TEST_CASE("no ticks where there is no range") {
  CHECK(nice_ticks({1, 1}, 5).empty());
  CHECK(nice_ticks({2, 1}, 5).empty());
  CHECK(nice_ticks({0, kInfinity}, 5).empty());
  CHECK(nice_ticks({std::nan(""), 1}, 5).empty());
  CHECK(nice_ticks({-1.7e308, 1.7e308}, 5).empty());
  CHECK(nice_ticks({1e16, 1e16 + 2}, 9).empty());  // doubles are 2 apart there
  CHECK(nice_ticks({0, 160 * std::numeric_limits<double>::denorm_min()}, 7).empty());
  CHECK(tick_labels({}).empty());
}

TEST_CASE("a range without size grows around its value") {
  CHECK(drawable({2, 3}).low == 2);
  const Range point = drawable({2, 2});
  CHECK(point.low < 2);
  CHECK(point.high > 2);
  CHECK(drawable({0, 0}).size() > 0);
  CHECK(std::isfinite(drawable({-1.7e308, 1.7e308}).size()));
  CHECK(drawable({std::nan(""), 1}).size() > 0);
}
