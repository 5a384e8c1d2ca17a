#include "ssa/tasks/classification_analysis.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <nlohmann/json.hpp>

namespace ssa {

namespace {

/// Log-probabilities of a low precision may lie slightly above 0.
constexpr double kRounding = 0.02;

int64_t classes_above(std::span<const double> log_probabilities, int64_t label) {
  const double own = log_probabilities[static_cast<size_t>(label)];
  return std::count_if(log_probabilities.begin(), log_probabilities.end(),
                       [own](double other) { return other > own; });
}

}  // namespace

Score classification_score(std::span<const double> log_probabilities, int64_t label, int64_t item) {
  SSA_CHECK(label >= 0 && label < std::ssize(log_probabilities),
            "item {}: label {} is outside the {} classes", item, label, log_probabilities.size());
  for (size_t i = 0; i < log_probabilities.size(); ++i) {
    if (log_probabilities[i] <= kRounding) continue;  // false for NaN
    throw DivergedError(
        "item {}: the log-probability of class {} is {}. The weights give no prediction: name an "
        "earlier checkpoint",
        item, i, log_probabilities[i]);
  }
  const int64_t above = classes_above(log_probabilities, label);
  return {-log_probabilities[static_cast<size_t>(label)],
          {above < 1 ? 1.0 : 0.0, above < 5 ? 1.0 : 0.0}};
}

int64_t predicted_class(std::span<const double> log_probabilities, int64_t label) {
  if (classes_above(log_probabilities, label) == 0) return label;
  return std::max_element(log_probabilities.begin(), log_probabilities.end()) -
         log_probabilities.begin();
}

double mutual_information(const Spread& spread) {
  return std::accumulate(spread.information.begin(), spread.information.end(), 0.0);
}

std::string classification_line(const ItemPrediction& prediction, int64_t label) {
  nlohmann::ordered_json line = {
      {"index", prediction.item},
      {"label", label},
      {"log_probabilities",
       std::vector<double>(prediction.numbers.begin(), prediction.numbers.end())}};
  if (prediction.spread) line["mutual_information"] = mutual_information(*prediction.spread);
  return line.dump();
}

ClassificationAnalysis::ClassificationAnalysis(std::vector<std::string> classes,
                                               std::function<int64_t(int64_t)> label)
    : classes_(std::move(classes)), label_(std::move(label)), of_class_(classes_.size()) {}

void ClassificationAnalysis::add(const ItemPrediction& prediction) {
  SSA_CHECK(prediction.numbers.size() == classes_.size(), "item {}: {} predictions for {} classes",
            prediction.item, prediction.numbers.size(), classes_.size());
  const int64_t label = label_(prediction.item);
  const int64_t predicted = predicted_class(prediction.numbers, label);
  const bool right = predicted == label;
  const double confidence = std::exp(prediction.numbers[static_cast<size_t>(predicted)]);
  confidence_.add(right, confidence);
  Count& of_label = of_class_[static_cast<size_t>(label)];
  ++of_label.items;
  of_label.right += right ? 1.0 : 0.0;
  if (!right) ++confused_[{label, predicted}];
  for (int64_t i = 0; i < std::ssize(prediction.numbers); ++i) {
    const double error =
        std::exp(prediction.numbers[static_cast<size_t>(i)]) - (i == label ? 1 : 0);
    brier_ += error * error;
  }
  if (prediction.spread) spread_.add(mutual_information(*prediction.spread), {right ? 1.0 : 0.0});
}

std::vector<EvalTable> ClassificationAnalysis::tables() const {
  if (confidence_.count() == 0) return {};
  std::vector<EvalTable> tables = {calibration(), accuracy_of_classes(),
                                   confidence_.reliability("items")};
  if (!confused_.empty()) tables.push_back(confusions());
  if (!spread_.empty()) tables.push_back(accuracy_by_spread());
  return tables;
}

EvalTable ClassificationAnalysis::calibration() const {
  return {.key = "calibration",
          .title = "Calibration",
          .about =
              "The expected calibration error is the mean distance of accuracy and confidence "
              "over 15 bins of confidence. The Brier score is the squared distance of the "
              "predicted probabilities from the truth. Lower is better for both.",
          .columns = {{"expected_calibration_error", "expected calibration error"},
                      {"brier", "Brier score"},
                      {"confidence", "mean confidence"},
                      {"accuracy", "accuracy"}},
          .rows = {{confidence_.calibration_error(), brier_ / confidence_.count(),
                    confidence_.mean_confidence(), confidence_.accuracy()}}};
}

EvalTable ClassificationAnalysis::accuracy_of_classes() const {
  EvalTable table{.key = "classes",
                  .title = "Accuracy of each class",
                  .about = "The part of each class's items that the model names right.",
                  .drawing = EvalTable::Drawing::bars,
                  .columns = {{"class", "class"}, {"accuracy", "accuracy"}, {"items", "items"}}};
  for (size_t i = 0; i < classes_.size(); ++i) {
    if (of_class_[i].items == 0) continue;
    table.rows.push_back(
        {classes_[i], of_class_[i].right / of_class_[i].items, of_class_[i].items});
  }
  return table;
}

EvalTable ClassificationAnalysis::confusions() const {
  using Entry = std::pair<std::pair<int64_t, int64_t>, int64_t>;
  std::vector<Entry> most(confused_.begin(), confused_.end());
  std::stable_sort(most.begin(), most.end(),
                   [](const Entry& a, const Entry& b) { return a.second > b.second; });
  most.resize(std::min(most.size(), kMostConfusions));
  EvalTable table{
      .key = "confusions",
      .title = "Most frequent confusions",
      .about = "Which class the model names in place of the true one, and how often.",
      .columns = {{"true", "true class"}, {"predicted", "predicted class"}, {"count", "times"}}};
  for (const auto& [classes, count] : most) {
    table.rows.push_back({classes_[static_cast<size_t>(classes.first)],
                          classes_[static_cast<size_t>(classes.second)],
                          static_cast<double>(count)});
  }
  return table;
}

EvalTable ClassificationAnalysis::accuracy_by_spread() const {
  return {.key = "spread",
          .title = "Accuracy against the spread of sub-models",
          .about =
              "Items by how much the sub-models disagree about them (mutual information "
              "of class and sub-model), in ten bins of equally many. Where the curve "
              "falls, the spread tells which predictions not to trust.",
          .drawing = EvalTable::Drawing::curve,
          .columns = {{"mutual_information", "mutual information (nats)"},
                      {"accuracy", "accuracy"},
                      {"items", "items"}},
          .rows = spread_.rows()};
}

}  // namespace ssa
