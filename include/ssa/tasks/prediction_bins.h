#pragma once

#include <span>
#include <vector>

#include "ssa/tasks/analysis.h"

namespace ssa {

// What the analyses of different tasks count alike.

/// Predictions by their confidence, the probability of the class that they name.
class ConfidenceBins {
 public:
  /// Confidence p lies in bin ⌈15 p⌉ of 15 equal ones (Guo et al. 2017).
  static constexpr size_t kBins = 15;

  void add(bool is_right, double confidence);
  double count() const { return all_.count; }
  double accuracy() const { return all_.right / all_.count; }
  double mean_confidence() const { return all_.confidence / all_.count; }
  /// The mean distance of accuracy and confidence over the bins.
  double calibration_error() const;
  /// The table `reliability`: accuracy against confidence. `terms` says what is counted.
  EvalTable reliability(const std::string& terms) const;

 private:
  struct Bin {
    double count = 0, right = 0, confidence = 0;
    void add(bool is_right, double with_confidence);
  };
  Bin all_;
  std::vector<Bin> bins_ = std::vector<Bin>(kBins);
};

/// Numbers about predictions by how much the sub-models of an ensemble disagree about them.
class SpreadBins {
 public:
  static constexpr size_t kBins = 10;

  /// `values` has as many numbers for each prediction.
  void add(double spread, std::initializer_list<double> values);
  bool empty() const { return spreads_.empty(); }
  /// Whether any spread is above 0: those of a single sub-model are all 0.
  bool differ() const;
  /// Ten rows of equally many predictions: their mean spread, the mean of each value, and how many
  /// they are.
  std::vector<std::vector<EvalTable::Cell>> rows() const;

 private:
  std::vector<double> spreads_;
  std::vector<double> values_;  // of all predictions, one after the other
};

}  // namespace ssa
