#pragma once

#include <functional>
#include <string>

#include "ssa/tasks/prediction_bins.h"

namespace ssa {

/// What is known of a window of tokens apart from the predictions.
struct TokenWindow {
  int64_t first = 0;             ///< distance of the first scored token from the window's start
  std::vector<int32_t> targets;  ///< the tokens that it scores
};

/// Tables about predictions of one token after the other: `distance` (the loss by the distance from
/// the window's start), and where predictions have their likeliest class, `calibration`
/// (calibration error, accuracy of the next token), `reliability` (accuracy against confidence) and
/// of ensembles `spread` (accuracy and loss against the disagreement of the sub-models).
class TokenAnalysis : public Analysis {
 public:
  static constexpr size_t kDistanceBins = 16;

  /// Of windows of `length` tokens, which are called `terms` ("tokens"). What `window` refers to
  /// must outlive the analysis.
  TokenAnalysis(std::string terms, int64_t length, std::function<TokenWindow(int64_t)> window);

  void add(const ItemPrediction& prediction) override;
  std::vector<EvalTable> tables() const override;

 private:
  struct Distance {
    double tokens = 0, loss = 0, distance = 0;  // sums
  };
  void add_distance(int64_t distance, double loss);
  EvalTable calibration() const;
  EvalTable loss_by_distance() const;
  EvalTable error_by_spread() const;

  std::string terms_;
  int64_t length_;
  std::function<TokenWindow(int64_t)> window_;
  ConfidenceBins confidence_;
  SpreadBins spread_;
  std::vector<Distance> distances_;
};

}  // namespace ssa
