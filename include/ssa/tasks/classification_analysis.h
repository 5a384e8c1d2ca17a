#pragma once

#include <functional>
#include <map>
#include <utility>

#include "ssa/tasks/prediction_bins.h"
#include "ssa/tasks/task.h"

namespace ssa {

// Scores and analysis of predictions that are the log-probabilities of all classes.

/// Loss -log p(label), and whether the label is among the first 1 and 5: fewer than so many classes
/// have a higher probability, so a tie counts as right. Throws DivergedError naming the item if a
/// log-probability is NaN or above any probability's, and ShapeError for a label without class.
Score classification_score(std::span<const double> log_probabilities, int64_t label, int64_t item);

/// The class that a prediction names: the label if it is the first in the sense of
/// classification_score(), else the first of the likeliest classes.
int64_t predicted_class(std::span<const double> log_probabilities, int64_t label);

/// Mutual information of the class and the sub-model: 0 if all sub-models predict the same.
double mutual_information(const Spread& spread);

/// {"index", "label", "log_probabilities": […]}, of an ensemble also "mutual_information".
std::string classification_line(const ItemPrediction& prediction, int64_t label);

/// Tables about a classifier: `calibration` (calibration error, Brier score), `classes` (the
/// accuracy of each), `confusions` (the most frequent ones), `reliability` (accuracy against
/// confidence), and of ensembles `spread` (accuracy against the disagreement of the sub-models).
class ClassificationAnalysis : public Analysis {
 public:
  static constexpr size_t kMostConfusions = 20;

  /// `label` gives the class of an item; what it refers to must outlive the analysis.
  ClassificationAnalysis(std::vector<std::string> classes, std::function<int64_t(int64_t)> label);

  void add(const ItemPrediction& prediction) override;
  std::vector<EvalTable> tables() const override;

 private:
  struct Count {
    double items = 0, right = 0;
  };
  EvalTable calibration() const;
  EvalTable accuracy_of_classes() const;
  EvalTable confusions() const;
  EvalTable accuracy_by_spread() const;

  std::vector<std::string> classes_;
  std::function<int64_t(int64_t)> label_;
  ConfidenceBins confidence_;
  double brier_ = 0;                                         // sum over the items
  std::vector<Count> of_class_;                              // by label
  std::map<std::pair<int64_t, int64_t>, int64_t> confused_;  // label, predicted class
  SpreadBins spread_;
};

}  // namespace ssa
