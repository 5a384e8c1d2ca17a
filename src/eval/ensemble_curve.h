#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "ssa/eval/score_means.h"

#include "eval/predicted.h"
#include "eval/sub_model_spread.h"

namespace ssa {

/// The predictions of sub-models for one item, averaged as they arrive.
class PredictionMean {
 public:
  explicit PredictionMean(Averaging averaging) : averaging_(averaging) {}
  void add(std::span<const double> prediction);
  /// The mean of the predictions added so far: log-probabilities, or values.
  std::vector<double> mean() const;

 private:
  Averaging averaging_;
  std::vector<double> sum_;  // log Σ p, or Σ
  int64_t samples_ = 0;
};

/// The scores of the mean prediction of 1, 2, … R sub-models, and of dense attention on the same
/// items. The predictions are added draw by draw: those of dense attention, then of R sub-models,
/// for a few items that share their sources. Items count when their draw is complete.
class EnsembleCurve {
 public:
  using OnPrediction = std::function<void(const ItemPrediction&)>;

  /// `on_prediction`, if not empty, receives the mean prediction and the spread of each item that
  /// counts, and the likeliest classes if the predictions have them.
  EnsembleCurve(const EvalSet& set, int64_t samples, size_t counted,
                OnPrediction on_prediction = {});

  /// Adds the next model's predictions for items first_item, first_item + 1, …
  void add(int64_t first_item, const std::vector<Predicted>& predictions);
  /// Models of the present draw that were added so far, the dense one included; 0: it has not
  /// begun.
  int64_t models_at_hand() const { return models_at_hand_; }

  /// The scores of the mean of the first `samples` predictions. Parts are told apart for the mean
  /// of all predictions only.
  const ScoreMeans& at(int64_t samples) const {
    return together_[static_cast<size_t>(samples - 1)];
  }
  /// The scores of dense attention.
  const ScoreMeans& renorm() const { return renorm_; }
  /// Standard deviation of the losses of the single sub-models.
  double spread() const;

 private:
  struct Item {
    Score dense;
    PredictionMean mean;
    std::optional<SubModelSpread> spread;  // if predictions are wanted
    LikelyMean likely;
    std::vector<Score> together;  // of the mean of the first 1, 2, … predictions
    std::vector<double> single;   // losses of the single sub-models
  };
  Item empty_item(int64_t number) const;
  void add_sub_model(int64_t number, Item& item, const Predicted& predicted) const;
  void hand_out(int64_t number, const Item& item) const;
  void finish_draw(int64_t first_item);

  const EvalSet& set_;
  OnPrediction on_prediction_;
  std::vector<ScoreMeans> together_;  // of the mean of the first 1, 2, … predictions
  ScoreMeans renorm_;
  std::vector<double> single_;  // loss sums of the single sub-models
  double terms_ = 0;
  std::vector<Item> at_hand_;
  int64_t models_at_hand_ = 0;
};

}  // namespace ssa
