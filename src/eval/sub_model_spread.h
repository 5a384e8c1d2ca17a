#pragma once

#include <span>
#include <vector>

#include "ssa/tasks/task.h"

namespace ssa {

/// The Spread of one item, from the predictions of sub-models as they arrive.
class SubModelSpread {
 public:
  explicit SubModelSpread(Averaging averaging) : averaging_(averaging) {}
  void add(std::span<const double> prediction);
  Spread spread() const;

 private:
  /// Of one number of the prediction (Welford 1962).
  struct Moments {
    double mean = 0, squares = 0;  // of probabilities or values; squared distances from the mean
    double entropy_terms = 0;      // Σ p·log p
  };
  Averaging averaging_;
  std::vector<Moments> moments_;
  double samples_ = 0;
};

}  // namespace ssa
