#pragma once

#include <vector>

#include "ssa/eval/evaluate.h"

namespace ssa {

/// A mean over terms and its standard error, from sums over items: the terms of one item are not
/// independent, but items nearly are.
class ItemMean {
 public:
  void add(double sum, double terms);
  double mean() const;
  double standard_error() const;

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
  ScoreMeans(size_t counted, std::vector<Partition> partitions);
  void add(const Score& score, double terms);

  const ItemMean& loss() const { return loss_; }
  /// The task's first metric, quickly: without a standard error.
  double value_of_first(const Metric& first) const;
  /// Each metric, in the order of the task's.
  std::vector<MetricValue> values(const std::vector<Metric>& metrics) const;
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
