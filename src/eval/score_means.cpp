#include "ssa/eval/score_means.h"

#include <cmath>
#include <limits>

namespace ssa {

namespace {

/// Of a mean over a single item.
constexpr double kNoError = std::numeric_limits<double>::quiet_NaN();

/// The value of a metric that follows from the loss, with its standard error.
MetricValue from_loss(const Metric& metric, const ItemMean& loss) {
  const double mean = loss.mean();
  return {metric.from_loss(mean), metric.deviation(mean, loss.standard_error())};
}

}  // namespace

void ItemMean::add(double sum, double terms) {
  items_.push_back({sum, terms});
  total_ += sum;
  terms_ += terms;
}

double ItemMean::mean() const { return terms_ > 0 ? total_ / terms_ : 0.0; }

double ItemMean::standard_error() const {
  const auto n = static_cast<double>(items_.size());
  if (items_.size() < 2) return kNoError;
  const double centre = mean();
  double squares = 0;
  for (const auto& [sum, terms] : items_) {
    squares += (sum - centre * terms) * (sum - centre * terms);
  }
  return std::sqrt(squares * n / (n - 1)) / terms_;
}

namespace {

/// How far a metric moves if the mean that it is made of, now at `mean`, moves by `by`.
double moved(const Metric& metric, double mean, double by) {
  return metric.deviation ? metric.deviation(mean, by) : metric.scale * by;
}

double value_at(const Metric& metric, double mean) {
  return metric.from_loss ? metric.from_loss(mean) : metric.scale * mean;
}

}  // namespace

MetricValue ItemMean::difference(const ItemMean& other, const Metric& metric) const {
  SSA_CHECK(items_.size() == other.items_.size(), "difference: {} items against {}", items_.size(),
            other.items_.size());
  const double a = mean(), b = other.mean();
  MetricValue difference{value_at(metric, a) - value_at(metric, b), kNoError};
  const auto n = static_cast<double>(items_.size());
  if (items_.size() < 2) return difference;
  double squares = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    const Item &own = items_[i], &paired = other.items_[i];
    SSA_CHECK(own.terms == paired.terms, "difference: item {} has {} terms against {}", i,
              own.terms, paired.terms);
    const double residual =
        moved(metric, a, own.sum - a * own.terms) - moved(metric, b, paired.sum - b * paired.terms);
    squares += residual * residual;
  }
  difference.stderr_ = std::sqrt(squares * n / (n - 1)) / terms_;
  return difference;
}

ScoreMeans::ScoreMeans(size_t counted, std::vector<Partition> partitions)
    : counted_(counted), partitions_(std::move(partitions)), parts_(count_parts(partitions_)) {}

void ScoreMeans::add(const Score& score, double terms) {
  loss_.add(score.loss, terms);
  for (size_t k = 0; k < counted_.size(); ++k) counted_[k].add(score.counted[k], terms);
  size_t next = 0;
  for (const Partition& partition : partitions_) {
    const auto parts = static_cast<double>(partition.parts.size());
    for (size_t k = 0; k < partition.parts.size(); ++k, ++next) {
      parts_[next].add(score.parts[next], terms / parts);
    }
  }
}

double ScoreMeans::value_of_first(const Metric& first) const {
  return first.from_loss ? first.from_loss(loss_.mean()) : first.scale * counted_.front().mean();
}

std::vector<MetricValue> ScoreMeans::values(const std::vector<Metric>& metrics) const {
  std::vector<MetricValue> values;
  auto counted = counted_.begin();
  for (const Metric& metric : metrics) {
    if (metric.from_loss) {
      values.push_back(from_loss(metric, loss_));
    } else {
      values.push_back({metric.scale * counted->mean(), metric.scale * counted->standard_error()});
      ++counted;
    }
  }
  return values;
}

std::vector<MetricValue> ScoreMeans::differences(const ScoreMeans& other,
                                                 const std::vector<Metric>& metrics) const {
  std::vector<MetricValue> all;
  size_t counted = 0;
  for (const Metric& metric : metrics) {
    all.push_back(metric.from_loss ? loss_.difference(other.loss_, metric)
                                   : counted_[counted].difference(other.counted_[counted], metric));
    if (!metric.from_loss) ++counted;
  }
  return all;
}

MetricValue ScoreMeans::difference_of_first(const ScoreMeans& other, const Metric& first) const {
  return first.from_loss ? loss_.difference(other.loss_, first)
                         : counted_.front().difference(other.counted_.front(), first);
}

std::vector<PartitionScores> ScoreMeans::partition_scores(const Metric& metric) const {
  std::vector<PartitionScores> all;
  auto part = parts_.begin();
  for (const Partition& partition : partitions_) {
    PartitionScores& one = all.emplace_back(PartitionScores{partition, {}});
    for (size_t k = 0; k < partition.parts.size(); ++k, ++part) {
      one.scores.push_back(from_loss(metric.from_loss ? metric : loss_metric(), *part));
    }
  }
  return all;
}

size_t count_parts(const std::vector<Partition>& partitions) {
  size_t parts = 0;
  for (const Partition& partition : partitions) parts += partition.parts.size();
  return parts;
}

}  // namespace ssa
