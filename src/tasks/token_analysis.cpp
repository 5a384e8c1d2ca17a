#include "ssa/tasks/token_analysis.h"

#include <algorithm>

#include <fmt/format.h>

#include "ssa/core/error.h"

namespace ssa {

TokenAnalysis::TokenAnalysis(std::string terms, int64_t length,
                             std::function<TokenWindow(int64_t)> window)
    : terms_(std::move(terms)),
      length_(length),
      window_(std::move(window)),
      distances_(kDistanceBins) {}

void TokenAnalysis::add(const ItemPrediction& prediction) {
  const TokenWindow window = window_(prediction.item);
  const size_t tokens = window.targets.size(), ranked = prediction.likeliest.size();
  SSA_CHECK(prediction.numbers.size() == tokens && (ranked == 0 || ranked == tokens),
            "item {}: {} predictions for {} tokens", prediction.item, prediction.numbers.size(),
            tokens);
  for (size_t i = 0; i < tokens; ++i) {
    const double loss = -prediction.numbers[i];
    add_distance(window.first + static_cast<int64_t>(i), loss);
    if (ranked == 0) continue;
    const LikeliestClass& named = prediction.likeliest[i];
    const bool right = named.number == window.targets[i];
    confidence_.add(right, named.probability);
    if (prediction.spread) spread_.add(named.deviation, {right ? 1.0 : 0.0, loss});
  }
}

void TokenAnalysis::add_distance(int64_t distance, double loss) {
  const auto bins = static_cast<int64_t>(kDistanceBins);
  Distance& bin = distances_[static_cast<size_t>(std::min(bins - 1, distance * bins / length_))];
  ++bin.tokens;
  bin.loss += loss;
  bin.distance += static_cast<double>(distance);
}

std::vector<EvalTable> TokenAnalysis::tables() const {
  std::vector<EvalTable> tables;
  const EvalTable distance = loss_by_distance();
  if (!distance.rows.empty()) tables.push_back(distance);
  if (confidence_.count() == 0) return tables;
  tables.push_back(calibration());
  tables.push_back(confidence_.reliability(terms_));
  if (spread_.differ()) tables.push_back(error_by_spread());
  return tables;
}

EvalTable TokenAnalysis::calibration() const {
  return {
      .key = "calibration",
      .title = "Calibration",
      .about =
          "Accuracy says how often what the model finds likeliest comes next. Confidence is the "
          "probability that it gives to that. The expected calibration error is the mean "
          "distance of the two over 15 bins of confidence: lower is better.",
      .columns = {{"expected_calibration_error", "expected calibration error"},
                  {"confidence", "mean confidence"},
                  {"accuracy", "accuracy"},
                  {"items", terms_}},
      .rows = {{confidence_.calibration_error(), confidence_.mean_confidence(),
                confidence_.accuracy(), confidence_.count()}}};
}

EvalTable TokenAnalysis::loss_by_distance() const {
  EvalTable table{.key = "distance",
                  .title = "Loss by distance from the window's start",
                  .about = fmt::format(
                      "Mean loss of {} by their distance from the start of their window, in 16 "
                      "bins: what more context is worth. With an overlap, only the first window "
                      "scores what is near its start.",
                      terms_),
                  .drawing = EvalTable::Drawing::curve,
                  .columns = {{"distance", "distance from the window's start"},
                              {"loss", "loss (nats)"},
                              {"items", terms_}}};
  for (const Distance& bin : distances_) {
    if (bin.tokens == 0) continue;
    table.rows.push_back({bin.distance / bin.tokens, bin.loss / bin.tokens, bin.tokens});
  }
  return table;
}

EvalTable TokenAnalysis::error_by_spread() const {
  return {.key = "spread",
          .title = "Accuracy against the spread of sub-models",
          .about =
              "Predictions by how much the sub-models disagree (standard deviation of the "
              "probability of what the ensemble finds likeliest), in ten bins of equally many. "
              "Where the curve falls, the spread tells which predictions not to trust.",
          .drawing = EvalTable::Drawing::curve,
          .columns = {{"spread", "standard deviation over sub-models"},
                      {"accuracy", "accuracy"},
                      {"loss", "loss (nats)"},
                      {"items", terms_}},
          .rows = spread_.rows()};
}

}  // namespace ssa
