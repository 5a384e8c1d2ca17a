#pragma once

#include <cmath>
#include <limits>

#include "ssa/tasks/analysis.h"

namespace ssa {

// Lines of predictions that are one number each.

/// What is known of an item apart from its prediction.
struct RegressionItem {
  int64_t idx = 0;  ///< its number in the data set
  double target = std::numeric_limits<double>::quiet_NaN();

  bool has_target() const { return std::isfinite(target); }
};

/// {"index", "prediction", "target"}, of an ensemble also "spread", the standard deviation over the
/// sub-models. index is the number in the data set; target is null where there is none.
std::string regression_line(const ItemPrediction& prediction, const RegressionItem& item);

}  // namespace ssa
