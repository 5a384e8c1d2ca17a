#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ssa/tasks/task.h"

namespace ssa {

/// Sums over items, for a mean over terms and its standard error: terms of one item are not
/// independent, items nearly are.
class ItemMean {
 public:
  void add(double sum, double terms) { items_.push_back({sum, terms}); }
  double mean() const;
  double standard_error() const;

 private:
  struct Item {
    double sum, terms;
  };
  std::vector<Item> items_;
};

/// The predictions of sub-models for one item, averaged as they arrive.
class PredictionMean {
 public:
  explicit PredictionMean(Averaging averaging) : averaging_(averaging) {}
  void add(std::span<const double> prediction);
  /// Of all that were added: log-probabilities, or values.
  std::vector<double> mean() const;

 private:
  Averaging averaging_;
  std::vector<double> sum_;  // log Σ p, or Σ
  int64_t samples_ = 0;
};

/// The scores of the mean prediction of 1, 2, … R sub-models. Takes their predictions draw by draw
/// (a few items that share their sources), R for each; its items count once they have all of them.
class EnsembleCurve {
 public:
  EnsembleCurve(const EvalSet& set, int64_t samples, size_t counted);

  /// The next sub-model's predictions for items first_item, first_item + 1, ….
  void add(int64_t first_item, const std::vector<std::vector<double>>& predictions);
  /// Sub-models that the draw at hand has so far; 0: it has not begun.
  int64_t samples_at_hand() const { return samples_at_hand_; }

  /// Of the first `samples` together, per term.
  const ItemMean& loss(int64_t samples) const { return at(samples).loss; }
  /// The same for counted metric number k.
  const ItemMean& counted(int64_t samples, size_t k) const { return at(samples).counted[k]; }
  /// Standard deviation of the losses of the sub-models alone.
  double spread() const;

 private:
  struct Point {
    ItemMean loss;
    std::vector<ItemMean> counted;
  };
  struct Item {
    PredictionMean mean;
    std::vector<Score> together;  // of the first 1, 2, …
    std::vector<double> single;   // losses of each alone
  };
  const Point& at(int64_t samples) const { return together_[static_cast<size_t>(samples - 1)]; }
  void finish_draw(int64_t first_item);

  const EvalSet& set_;
  std::vector<Point> together_;  // of the first 1, 2, …
  std::vector<double> single_;   // loss sums of each alone
  double terms_ = 0;
  std::vector<Item> at_hand_;
  int64_t samples_at_hand_ = 0;
};

}  // namespace ssa
