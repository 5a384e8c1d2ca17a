#pragma once

#include <cmath>
#include <limits>

#include "ssa/tasks/prediction_bins.h"

namespace ssa {

// Lines and analysis of predictions that are one number each.

/// What is known of an item apart from its prediction.
struct RegressionItem {
  int64_t idx = 0;  ///< its number in the data set
  double target = std::numeric_limits<double>::quiet_NaN();

  bool has_target() const { return std::isfinite(target); }
};

/// {"index", "prediction", "target"}, of an ensemble also "spread", the standard deviation over the
/// sub-models. index is the number in the data set; target is null where there is none.
std::string regression_line(const ItemPrediction& prediction, const RegressionItem& item);

/// Tables about predicted numbers: `errors` (mean absolute error, root mean square), `worst` (the
/// items that are farthest off), and of ensembles `spread` (error against the disagreement of the
/// sub-models). Items without a target are left out.
class RegressionAnalysis : public Analysis {
 public:
  static constexpr size_t kWorst = 10;

  explicit RegressionAnalysis(std::vector<RegressionItem> items) : items_(std::move(items)) {}

  void add(const ItemPrediction& prediction) override;
  std::vector<EvalTable> tables() const override;

 private:
  struct Predicted {
    RegressionItem item;
    double prediction = 0;
    double error() const { return std::abs(prediction - item.target); }
  };
  EvalTable errors() const;
  EvalTable worst() const;
  EvalTable error_by_spread() const;

  std::vector<RegressionItem> items_;
  double count_ = 0, absolute_ = 0, squares_ = 0;  // sums over the items
  std::vector<Predicted> worst_;                   // the worst first
  SpreadBins spread_;
};

}  // namespace ssa
