#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// How good a model is, in a number that people quote.
struct Metric {
  std::string_view key;    ///< in files: "bits_per_byte"
  std::string_view label;  ///< for people: "bits/byte"
  std::string_view name;   ///< on an axis: "bits per byte"
  int decimals = 4;        ///< in logs
  int table_decimals = 3;  ///< in tables
  bool label_first = false;
  bool higher_is_better = false;
  /// Of the mean loss of a term. Null: counted apart from the loss (Score::counted), as accuracy
  /// is.
  double (*from_loss)(double loss) = nullptr;
  /// What a small deviation of the loss, such as its standard error, is in the metric (to first
  /// order); null with from_loss.
  double (*deviation)(double loss, double deviation_of_loss) = nullptr;

  /// "3.0657 bits/byte", "perplexity 45.21"
  std::string text(double value) const;
};

/// What a task calls things, and how it is scored: the one table that logs, metrics, evaluation,
/// report and sweep read.
struct TaskTraits {
  std::string_view terms;       ///< what a loss is the loss of: "bytes", "tokens", "images"
  std::string_view rate;        ///< what is counted per second: "tokens", "images"
  std::string_view examples;    ///< what a batch is made of: "sequences", "images", "graphs"
  std::string_view loss_unit;   ///< " nats", or "" where it is that of the metric
  std::vector<Metric> metrics;  ///< the one that is quoted first

  const Metric& metric() const { return metrics.front(); }
};

const TaskTraits& traits_of(TaskKind kind);
/// The loss itself: what runs of different tasks have in common.
const Metric& loss_metric();

/// nats → bits
double bits(double nats);

}  // namespace ssa
