#include "ssa/tasks/regression_analysis.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace ssa {

std::string regression_line(const ItemPrediction& prediction, const RegressionItem& item) {
  nlohmann::ordered_json line = {{"index", item.idx},
                                 {"prediction", prediction.numbers.front()},
                                 {"target", item.has_target() ? nlohmann::ordered_json(item.target)
                                                              : nlohmann::ordered_json()}};
  if (prediction.spread) line["spread"] = prediction.spread->deviations.front();
  return line.dump();
}

void RegressionAnalysis::add(const ItemPrediction& prediction) {
  const RegressionItem& item = items_.at(static_cast<size_t>(prediction.item));
  if (!item.has_target()) return;
  const Predicted one{item, prediction.numbers.front()};
  const double error = one.error();
  ++count_;
  absolute_ += error;
  squares_ += error * error;
  const auto place = std::ranges::find_if(
      worst_, [error](const Predicted& other) { return other.error() < error; });
  worst_.insert(place, one);
  if (worst_.size() > kWorst) worst_.pop_back();
  if (prediction.spread) spread_.add(prediction.spread->deviations.front(), {error});
}

std::vector<EvalTable> RegressionAnalysis::tables() const {
  if (count_ == 0) return {};
  std::vector<EvalTable> tables = {errors(), worst()};
  if (spread_.differ()) tables.push_back(error_by_spread());
  return tables;
}

EvalTable RegressionAnalysis::errors() const {
  return {.key = "errors",
          .title = "Errors",
          .about =
              "Distances of the predictions from the targets, in the unit of the "
              "targets. The root "
              "mean square is the larger the more a few predictions are far off.",
          .columns = {{"mean_absolute_error", "mean absolute error"},
                      {"root_mean_square", "root mean square"},
                      {"items", "items"}},
          .rows = {{absolute_ / count_, std::sqrt(squares_ / count_), count_}}};
}

EvalTable RegressionAnalysis::worst() const {
  EvalTable table{
      .key = "worst",
      .title = "Worst predictions",
      .about =
          "The items that are farthest off, by their number "
          "in the data set (idx).",
      .columns = {
          {"idx", "idx"}, {"target", "target"}, {"prediction", "prediction"}, {"error", "error"}}};
  for (const Predicted& one : worst_) {
    table.rows.push_back(
        {std::to_string(one.item.idx), one.item.target, one.prediction, one.error()});
  }
  return table;
}

EvalTable RegressionAnalysis::error_by_spread() const {
  return {.key = "spread",
          .title = "Error against the spread of sub-models",
          .about =
              "Items by how much the sub-models disagree about "
              "them (standard deviation of "
              "their predictions), in ten bins of equally many. "
              "Where the curve rises, the "
              "spread tells which predictions not to trust.",
          .drawing = EvalTable::Drawing::curve,
          .columns = {{"spread", "standard deviation over sub-models"},
                      {"mean_absolute_error", "mean absolute error"},
                      {"items", "items"}},
          .rows = spread_.rows()};
}

}  // namespace ssa
