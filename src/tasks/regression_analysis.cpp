#include "ssa/tasks/regression_analysis.h"

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

}  // namespace ssa
