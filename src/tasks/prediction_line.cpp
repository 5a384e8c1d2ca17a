#include "tasks/prediction_line.h"

#include <nlohmann/json.hpp>

namespace ssa {

namespace {

std::string line(const ItemPrediction& prediction, const char* key,
                 const std::vector<double>& numbers) {
  nlohmann::ordered_json object = {{"index", prediction.item}, {key, numbers}};
  if (prediction.spread) object["spread"] = prediction.spread->deviations;
  return object.dump();
}

}  // namespace

std::string value_line(const ItemPrediction& prediction) {
  return line(prediction, "prediction", {prediction.numbers.begin(), prediction.numbers.end()});
}

std::string loss_line(const ItemPrediction& prediction) {
  std::vector<double> losses;
  for (const double log_probability : prediction.numbers) losses.push_back(-log_probability);
  return line(prediction, "losses", losses);
}

}  // namespace ssa
