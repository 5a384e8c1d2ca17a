#pragma once

#include <span>
#include <vector>

#include "ssa/models/model.h"
#include "ssa/tasks/analysis.h"

namespace ssa {

/// What one model predicts for an item: the numbers that an ensemble averages, and the likeliest
/// classes of each term where they are wanted.
struct Predicted {
  std::vector<double> numbers;
  std::vector<LikelyClass> likely;  ///< (terms, K); empty: not wanted
};

// Ranks send each other predictions as numbers.

void append(std::vector<double>& message, const Predicted& predicted);
/// Reads what `message` begins with, and takes it off.
Predicted take_predicted(std::span<const double>& message);

/// The likeliest class of each of `terms` terms of one model.
std::vector<LikeliestClass> likeliest_of(std::span<const LikelyClass> likely, int64_t terms);

/// The likeliest class of each term of an ensemble, from the classes of its sub-models as they
/// arrive. What a sub-model does not list counts as 0: with up to 256 classes it lists all, else
/// its 256 likeliest.
class LikelyMean {
 public:
  static constexpr int64_t kMostPerTerm = 256;

  explicit LikelyMean(int64_t terms) : terms_(static_cast<size_t>(terms)) {}
  void add(std::span<const LikelyClass> likely);
  std::vector<LikeliestClass> likeliest() const;

 private:
  struct Sum {
    int32_t number;
    double sum, squares;  // of the probabilities
  };
  std::vector<std::vector<Sum>> terms_;  // of each term by number
  double samples_ = 0;
};

}  // namespace ssa
