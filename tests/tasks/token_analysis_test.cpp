#include "ssa/tasks/token_analysis.h"

#include <cmath>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"

#include "support/tensors.h"
#include "support/text.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

EvalTable table(const std::vector<EvalTable>& tables, const std::string& key) {
  for (const EvalTable& one : tables) {
    if (one.key == key) return one;
  }
  FAIL("no table " << key);
  return tables.front();
}

double number(const EvalTable& from, size_t row, size_t column) {
  return std::get<double>(from.rows.at(row).at(column));
}

/// Two windows of 32 tokens: the first scores its first two tokens, the second its last two.
struct TwoWindows {
  TokenAnalysis analysis{"tokens", 32, [](int64_t item) {
                           return item == 0 ? TokenWindow{0, {7, 8}} : TokenWindow{30, {7, 9}};
                         }};
  std::vector<double> logs = {std::log(0.9), std::log(0.25)};
  // Right with 0.9, wrong with 0.5.
  std::vector<LikeliestClass> likeliest = {{7, 0.9, 0.125}, {3, 0.5, 0.25}};

  std::vector<EvalTable> tables(bool ensemble, bool ranked = true) {
    const Spread spread{{0.1, 0.1}, {}};
    const std::span<const LikeliestClass> classes(likeliest);
    for (int64_t item = 0; item < 2; ++item) {
      analysis.add({item, logs, ensemble ? &spread : nullptr, ranked ? classes : classes.first(0)});
    }
    return analysis.tables();
  }
};

}  // namespace

TEST_CASE("calibration of tokens by hand") {
  const auto tables = TwoWindows().tables(false);
  CHECK(tables.size() == 3);  // no spread
  const EvalTable calibration = table(tables, "calibration");
  CHECK(number(calibration, 0, 0) == Approx((2 * 0.1 + 2 * 0.5) / 4));
  CHECK(number(calibration, 0, 1) == Approx(0.7));
  CHECK(number(calibration, 0, 2) == 0.5);
  CHECK(number(calibration, 0, 3) == 4);
  const EvalTable reliability = table(tables, "reliability");
  REQUIRE(reliability.rows.size() == 2);
  CHECK(number(reliability, 0, 0) == Approx(0.5));
  CHECK(number(reliability, 0, 1) == 0);
  CHECK(number(reliability, 1, 1) == 1);
  CHECK(contains(reliability.about, "Tokens by the confidence"));
}

TEST_CASE("the loss by the distance from the window's start") {
  const EvalTable distance = table(TwoWindows().tables(false), "distance");
  REQUIRE(distance.rows.size() == 2);  // bins of two positions, the first and the last
  const double loss = -(std::log(0.9) + std::log(0.25)) / 2;
  for (const auto& [row, mean] : {std::pair<size_t, double>{0, 0.5}, {1, 30.5}}) {
    CHECK(number(distance, row, 0) == mean);
    CHECK(number(distance, row, 1) == Approx(loss));
    CHECK(number(distance, row, 2) == 2);
  }
}

TEST_CASE("of ensembles, accuracy and loss against the spread of the likeliest token") {
  const EvalTable spread = table(TwoWindows().tables(true), "spread");
  REQUIRE(spread.rows.size() == 4);  // four tokens in ten bins
  CHECK(number(spread, 0, 0) == 0.125);
  CHECK(number(spread, 0, 1) == 1);
  CHECK(number(spread, 0, 2) == Approx(-std::log(0.9)));
  CHECK(number(spread, 3, 0) == 0.25);
  CHECK(number(spread, 3, 1) == 0);
}

TEST_CASE("without likeliest tokens there is the loss by distance alone") {
  const auto tables = TwoWindows().tables(true, false);
  REQUIRE(tables.size() == 1);
  CHECK(tables.front().key == "distance");
  CHECK(TokenAnalysis("tokens", 4, {}).tables().empty());
  TokenAnalysis short_one("tokens", 4, [](int64_t) { return TokenWindow{0, {1}}; });
  CHECK(contains(message_of<ShapeError>([&] {
                   short_one.add({5, std::vector<double>{-1, -1}});
                 }),
                 "item 5: 2 predictions for 1 tokens"));
}
