#pragma once

#include <vector>

#include "ssa/tasks/task.h"

namespace ssa {

/// A metric with its standard error over the items, NaN if there is a single one.
struct MetricValue {
  double value = 0;
  double stderr_ = 0;
};

/// The scores of the parts of a Partition: of the task's first metric, or of the loss where that
/// metric does not follow from it.
struct PartitionScores {
  Partition partition;
  std::vector<MetricValue> scores;  ///< in the order of its parts
};

/// A mean over terms and its standard error, from sums over items: the terms of one item are not
/// independent, but items nearly are.
class ItemMean {
 public:
  void add(double sum, double terms);
  double mean() const;
  /// NaN of fewer than two items.
  double standard_error() const;
  /// f(this mean) - f(the other's mean) for a metric that follows from the loss, or for `scale`
  /// times the means. The standard error is that of the difference: both means are over the same
  /// items, so what makes an item hard for both cancels. Throws ShapeError for other items.
  MetricValue difference(const ItemMean& other, const Metric& metric) const;

 private:
  struct Item {
    double sum, terms;
  };
  std::vector<Item> items_;
  double total_ = 0, terms_ = 0;
};

/// Means over items of what a Score holds.
class ScoreMeans {
 public:
  /// Scores have `counted` numbers besides the loss, and the parts of these partitions.
  explicit ScoreMeans(size_t counted = 0, std::vector<Partition> partitions = {});
  void add(const Score& score, double terms);

  const ItemMean& loss() const { return loss_; }
  /// The task's first metric, quickly: without a standard error.
  double value_of_first(const Metric& first) const;
  /// Each metric, in the order of the task's.
  std::vector<MetricValue> values(const std::vector<Metric>& metrics) const;
  /// Each metric less that of another evaluation of the same items. See ItemMean::difference().
  std::vector<MetricValue> differences(const ScoreMeans& other,
                                       const std::vector<Metric>& metrics) const;
  MetricValue difference_of_first(const ScoreMeans& other, const Metric& first) const;
  /// The metric of each part; the loss if the metric does not follow from it.
  std::vector<PartitionScores> partition_scores(const Metric& metric) const;

 private:
  ItemMean loss_;
  std::vector<ItemMean> counted_;
  std::vector<Partition> partitions_;
  std::vector<ItemMean> parts_;  // of all partitions, one after the other
};

/// Parts of all partitions together.
size_t count_parts(const std::vector<Partition>& partitions);

}  // namespace ssa
