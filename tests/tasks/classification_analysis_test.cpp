#include "ssa/tasks/classification_analysis.h"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "ssa/core/error.h"
#include "ssa/tasks/analysis_json.h"

#include "support/tensors.h"
#include "support/text.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

const double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> logs(std::vector<double> probabilities) {
  for (double& p : probabilities) p = std::log(p);
  return probabilities;
}

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

std::string text(const EvalTable& from, size_t row, size_t column) {
  return std::get<std::string>(from.rows.at(row).at(column));
}

/// Four items of three classes: right with 0.8, right with 0.5, and twice cat taken for dog.
struct FourItems {
  std::vector<int64_t> labels = {0, 1, 0, 0};
  std::vector<std::vector<double>> predictions = {logs({0.8, 0.1, 0.1}), logs({0.25, 0.5, 0.25}),
                                                  logs({0.1, 0.7, 0.2}), logs({0.2, 0.7, 0.1})};
  ClassificationAnalysis analysis{{"cat", "dog", "a <b>"},
                                  [this](int64_t item) { return labels.at(size_t(item)); }};

  std::vector<EvalTable> tables(const std::vector<Spread>& spreads = {}) {
    for (size_t i = 0; i < labels.size(); ++i) {
      analysis.add({int64_t(i), predictions[i], spreads.empty() ? nullptr : &spreads[i]});
    }
    return analysis.tables();
  }
};

}  // namespace

TEST_CASE("a label is among the first k if fewer than k classes are likelier") {
  const std::vector<double> six = {-3, -1, -2, -2, -4, -5};
  const auto counted = [&](int64_t label) { return classification_score(six, label, 0).counted; };
  CHECK(classification_score(six, 2, 0).loss == 2);
  CHECK(counted(1) == std::vector<double>{1, 1});
  CHECK(counted(2) == std::vector<double>{0, 1});
  CHECK(counted(4) == std::vector<double>{0, 1});
  CHECK(counted(5) == std::vector<double>{0, 0});
  const std::vector<double> tied = {-1, -1, -2, -2, -2, -2};
  CHECK(classification_score(tied, 1, 0).counted == std::vector<double>{1, 1});
  CHECK(classification_score(tied, 5, 0).counted == std::vector<double>{0, 1});
  CHECK(predicted_class(tied, 1) == 1);
  CHECK(predicted_class(tied, 5) == 0);
  const double never = -std::numeric_limits<double>::infinity();
  CHECK(classification_score(std::vector<double>{0, never}, 0, 0).loss == 0);
}

TEST_CASE("what is no prediction is an error that names the item") {
  for (const double bad : {kNan, std::numeric_limits<double>::infinity(), 1.0}) {
    const std::vector<double> numbers = {-1, bad, -1};
    const std::string message =
        message_of<DivergedError>([&] { classification_score(numbers, 0, 41); });
    CHECK(contains(message, "item 41: the log-probability of class 1 is "));
  }
  const std::vector<double> two = {-1, -1};
  for (const int64_t label : {-1, 2}) {
    CHECK(contains(message_of<ShapeError>([&] { classification_score(two, label, 3); }),
                   "item 3: label " + std::to_string(label) + " is outside the 2 classes"));
  }
}

TEST_CASE("calibration error, Brier score and reliability by hand") {
  FourItems four;
  const auto tables = four.tables();
  CHECK(tables.size() == 4);  // no spread
  const EvalTable calibration = table(tables, "calibration");
  REQUIRE(calibration.rows.size() == 1);
  // Bins of one, one and two items; the last two are wrong.
  CHECK(number(calibration, 0, 0) == Approx((0.2 + 0.5 + 2 * 0.7) / 4));
  const double brier =
      (0.04 + 0.01 + 0.01) + (0.0625 + 0.25 + 0.0625) + (0.81 + 0.49 + 0.04) + (0.64 + 0.49 + 0.01);
  CHECK(number(calibration, 0, 1) == Approx(brier / 4));
  CHECK(number(calibration, 0, 2) == Approx((0.8 + 0.5 + 0.7 + 0.7) / 4));
  CHECK(number(calibration, 0, 3) == 0.5);

  const EvalTable reliability = table(tables, "reliability");
  CHECK(reliability.diagonal);
  REQUIRE(reliability.rows.size() == 3);
  for (const auto& [row, confidence, accuracy, items] :
       {std::tuple<size_t, double, double, double>{0, 0.5, 1, 1}, {1, 0.7, 0, 2}, {2, 0.8, 1, 1}}) {
    CHECK(number(reliability, row, 0) == Approx(confidence));
    CHECK(number(reliability, row, 1) == accuracy);
    CHECK(number(reliability, row, 2) == items);
  }
}

TEST_CASE("bins are as wide as each other, and confidence 1 lies in the last") {
  ClassificationAnalysis analysis({"a", "b"}, [](int64_t) { return 0; });
  // 0.6 = 9/15 and 0.61 lie in bins 9 and 10 from 1 on, 1 in bin 15.
  for (const double p : {0.5999, 0.61, 1.0}) {
    const auto prediction = logs({p, 1 - p});
    analysis.add({0, prediction});
  }
  CHECK(table(analysis.tables(), "reliability").rows.size() == 3);
}

TEST_CASE("the accuracy of each class that has items, and confusions by their number") {
  FourItems four;
  const auto tables = four.tables();
  const EvalTable classes = table(tables, "classes");
  REQUIRE(classes.rows.size() == 2);
  CHECK(text(classes, 0, 0) == "cat");
  CHECK(number(classes, 0, 1) == Approx(1.0 / 3));
  CHECK(number(classes, 0, 2) == 3);
  CHECK(text(classes, 1, 0) == "dog");
  CHECK(number(classes, 1, 1) == 1);
  const EvalTable confusions = table(tables, "confusions");
  REQUIRE(confusions.rows.size() == 1);
  CHECK(text(confusions, 0, 0) == "cat");
  CHECK(text(confusions, 0, 1) == "dog");
  CHECK(number(confusions, 0, 2) == 2);
}

TEST_CASE(
    "of many confusions the twenty most frequent are kept, in the order of classes if equal") {
  std::vector<std::string> names;
  for (int i = 0; i < 30; ++i) names.push_back("class " + std::to_string(i));
  ClassificationAnalysis analysis(names, [](int64_t item) { return item % 30; });
  for (int64_t item = 0; item < 31; ++item) {  // class 0 is confused twice
    std::vector<double> prediction(30, -5);
    prediction[size_t((item + 1) % 30)] = -0.2;
    analysis.add({item, prediction});
  }
  const EvalTable confusions = table(analysis.tables(), "confusions");
  REQUIRE(confusions.rows.size() == 20);
  CHECK(text(confusions, 0, 0) == "class 0");
  CHECK(number(confusions, 0, 2) == 2);
  CHECK(text(confusions, 1, 0) == "class 1");
  CHECK(text(confusions, 19, 1) == "class 20");
  CHECK(number(confusions, 19, 2) == 1);
}

TEST_CASE("accuracy against the mutual information, in bins of equally many items") {
  constexpr int64_t kItems = 25;
  ClassificationAnalysis analysis({"a", "b"}, [](int64_t item) { return item < 15 ? 0 : 1; });
  const auto prediction = logs({0.75, 0.25});           // right for the first 15
  for (int64_t item = kItems - 1; item >= 0; --item) {  // in the opposite order of the spread
    const Spread spread{{0, 0}, {0.25 * double(item), 0.75 * double(item)}};
    CHECK(mutual_information(spread) == double(item));
    analysis.add({item, prediction, &spread});
  }
  const EvalTable spread = table(analysis.tables(), "spread");
  REQUIRE(spread.rows.size() == 10);
  double items = 0;
  for (size_t bin = 0; bin < 10; ++bin) {
    CHECK(number(spread, bin, 1) == (bin < 6 ? 1 : 0));
    items += number(spread, bin, 2);
  }
  CHECK(items == kItems);
  CHECK(number(spread, 0, 0) == 0.5);  // items 0 and 1
  CHECK(number(spread, 9, 0) == 23);   // items 22, 23 and 24
}

TEST_CASE("an analysis of nothing has no tables") {
  CHECK(ClassificationAnalysis({"a"}, [](int64_t) { return 0; }).tables().empty());
  ClassificationAnalysis two({"a", "b"}, [](int64_t) { return 0; });
  CHECK(contains(message_of<ShapeError>([&] {
                   two.add({7, std::vector<double>{0}});
                 }),
                 "item 7: 1 predictions for 2 classes"));
}

TEST_CASE("a classifier's line has its log-probabilities, of an ensemble also the spread") {
  const std::vector<double> numbers = {-0.5, -1.25};
  CHECK(classification_line({3, numbers}, 1) ==
        R"({"index":3,"label":1,"log_probabilities":[-0.5,-1.25]})");
  const Spread spread{{0.5, 0.5}, {0.25, 0.5}};
  CHECK(classification_line({3, numbers, &spread}, 0) ==
        R"({"index":3,"label":0,"log_probabilities":[-0.5,-1.25],"mutual_information":0.75})");
}

TEST_CASE("tables are the same after they have been JSON") {
  FourItems four;
  const std::vector<Spread> spreads(4, Spread{{0, 0, 0}, {0.1, 0.2, 0.3}});
  const auto tables = four.tables(spreads);
  CHECK(tables.size() == 5);
  const auto read = tables_from_json(nlohmann::json::parse(to_json(tables).dump()));
  REQUIRE(read.size() == 5);
  CHECK(read.front().key == "calibration");
  CHECK(read.back().key == "spread");
  for (const EvalTable& one : read) {
    const EvalTable before = table(tables, one.key);
    CHECK(one.title == before.title);
    CHECK(one.about == before.about);
    CHECK(one.drawing == before.drawing);
    CHECK(one.diagonal == before.diagonal);
    CHECK(one.rows == before.rows);
    REQUIRE(one.columns.size() == before.columns.size());
    CHECK(one.columns.back().label == before.columns.back().label);
  }
}

TEST_CASE("damaged tables are left out, and what is not finite is read as NaN") {
  const auto read = [](const char* text) { return tables_from_json(nlohmann::json::parse(text)); };
  CHECK(read("[]").empty());
  CHECK(read("3").empty());
  CHECK(read(R"({"a": 3})").empty());
  CHECK(read(R"({"a": {"drawing": "pie", "columns": [{"key": "x"}], "rows": []}})").empty());
  CHECK(read(R"({"a": {"drawing": "curve", "columns": [{"key": "x"}], "rows": []}})").empty());
  CHECK(read(R"({"a": {"drawing": "table", "columns": [3], "rows": []}})").empty());
  CHECK(read(R"({"a": {"drawing": "table", "columns": [{"key": "x"}], "rows": [3]}})").empty());
  nlohmann::json wide = {{"drawing", "table"}, {"columns", nlohmann::json::array()}};
  for (int i = 0; i < 33; ++i) wide["columns"].push_back({{"key", std::to_string(i)}});
  CHECK(tables_from_json({{"a", wide}}).empty());
  const auto odd = read(
      R"({"a": {"drawing": "table", "columns": [{"key": "x"}], "rows": [{"x": null}, {}, {"x": []}]}})");
  REQUIRE(odd.size() == 1);
  REQUIRE(odd[0].rows.size() == 3);
  for (const auto& row : odd[0].rows) CHECK(std::isnan(std::get<double>(row[0])));
}
