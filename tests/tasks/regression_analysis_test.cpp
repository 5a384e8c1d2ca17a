#include "ssa/tasks/regression_analysis.h"

#include <catch2/catch.hpp>

using namespace ssa;

namespace {

const EvalTable* find(const std::vector<EvalTable>& tables, const std::string& key) {
  for (const EvalTable& one : tables) {
    if (one.key == key) return &one;
  }
  return nullptr;
}

double number(const EvalTable& from, size_t row, size_t column) {
  return std::get<double>(from.rows.at(row).at(column));
}

/// Items 100, 101, … with these targets.
std::vector<RegressionItem> items(const std::vector<double>& targets) {
  std::vector<RegressionItem> all;
  for (const double target : targets) {
    all.push_back({100 + static_cast<int64_t>(all.size()), target});
  }
  return all;
}

}  // namespace

TEST_CASE("mean absolute error and root mean square by hand, without what has no target") {
  const double none = std::numeric_limits<double>::quiet_NaN();
  RegressionAnalysis analysis(items({1, 2, none, 3}));
  const std::vector<double> predictions = {1, 5, 7, -1};  // errors 0, 3, none, 4
  for (size_t i = 0; i < 4; ++i) {
    analysis.add({static_cast<int64_t>(i), std::span(predictions).subspan(i, 1)});
  }
  const auto tables = analysis.tables();
  CHECK(tables.size() == 2);  // no spread
  const EvalTable& errors = *find(tables, "errors");
  CHECK(number(errors, 0, 0) == Approx(7.0 / 3));
  CHECK(number(errors, 0, 1) == Approx(std::sqrt(25.0 / 3)));
  CHECK(number(errors, 0, 2) == 3);
  const EvalTable& worst = *find(tables, "worst");
  REQUIRE(worst.rows.size() == 3);
  CHECK(std::get<std::string>(worst.rows[0][0]) == "103");
  CHECK(number(worst, 0, 1) == 3);
  CHECK(number(worst, 0, 2) == -1);
  CHECK(number(worst, 0, 3) == 4);
  CHECK(std::get<std::string>(worst.rows[1][0]) == "101");
  CHECK(std::get<std::string>(worst.rows[2][0]) == "100");
}

TEST_CASE("the ten worst are kept, of equal ones the first") {
  RegressionAnalysis analysis(items(std::vector<double>(30, 0.0)));
  for (int64_t i = 0; i < 30; ++i) {
    const double error = i % 15 == 0 ? 1 : static_cast<double>(i % 15);  // 14 and 13 twice, …
    analysis.add({i, std::span(&error, 1)});
  }
  const auto tables = analysis.tables();
  const EvalTable& worst = *find(tables, "worst");
  REQUIRE(worst.rows.size() == RegressionAnalysis::kWorst);
  for (size_t row = 0; row < 10; ++row) {
    CAPTURE(row);
    CHECK(number(worst, row, 3) == 14.0 - static_cast<double>(row / 2));
  }
  CHECK(std::get<std::string>(worst.rows[0][0]) == "114");
  CHECK(std::get<std::string>(worst.rows[1][0]) == "129");
}

TEST_CASE("errors by tenths of the spread by hand") {
  RegressionAnalysis analysis(items(std::vector<double>(20, 0.0)));
  // Added from the largest spread to the smallest: item i has spread 20 - i and error 2 (20 - i).
  for (int64_t i = 0; i < 20; ++i) {
    const double error = 2.0 * static_cast<double>(20 - i);
    const Spread spread{{static_cast<double>(20 - i)}, {}};
    analysis.add({i, std::span(&error, 1), &spread});
  }
  const auto tables = analysis.tables();
  const EvalTable* by_spread = find(tables, "spread");
  REQUIRE(by_spread);
  CHECK(by_spread->drawing == EvalTable::Drawing::curve);
  REQUIRE(by_spread->rows.size() == 10);
  for (size_t bin = 0; bin < 10; ++bin) {
    CHECK(number(*by_spread, bin, 0) == Approx(1.5 + 2.0 * static_cast<double>(bin)));
    CHECK(number(*by_spread, bin, 1) == Approx(3 + 4.0 * static_cast<double>(bin)));
    CHECK(number(*by_spread, bin, 2) == 2);
  }
}

TEST_CASE("nothing is said of no items, nor of the spread of one sub-model") {
  CHECK(RegressionAnalysis({}).tables().empty());
  RegressionAnalysis analysis(items({1, 2}));
  const std::vector<double> prediction = {1.5};
  const Spread none{{0.0}, {}};
  for (const int64_t item : {0, 1}) analysis.add({item, prediction, &none});
  CHECK(find(analysis.tables(), "spread") == nullptr);
}
