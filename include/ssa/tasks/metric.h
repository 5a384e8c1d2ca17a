#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ssa/config/config.h"

namespace ssa {

/// A number that says how good a model is.
struct Metric {
  std::string_view key;    ///< in files: "bits_per_byte"
  std::string_view label;  ///< for people: "bits/byte"
  std::string_view name;   ///< on an axis: "bits per byte"
  int decimals = 4;        ///< in logs
  int table_decimals = 3;  ///< in tables
  bool label_first = false;
  bool higher_is_better = false;
  /// Of a metric that is counted: what the mean is multiplied by, such as 100 for percent.
  double scale = 1;
  /// The metric from the mean loss per term. Null: it does not follow from the loss and is counted
  /// (Score::counted), as accuracy is.
  double (*from_loss)(double loss) = nullptr;
  /// The metric's deviation for a small deviation of the loss, such as its standard error (to first
  /// order). Null where from_loss is null.
  double (*deviation)(double loss, double deviation_of_loss) = nullptr;

  /// "3.0657 bits/byte", "perplexity 45.21"
  std::string text(double value) const;
};

/// What a run with train.samples shows after each evaluation: see draw_samples().
enum class SampleKind {
  none,
  drawn_pictures,     ///< the model draws them
  training_pictures,  ///< examples of the coming step as the model sees them
  drawn_texts         ///< the model continues train.sample_prompt
};

/// The names that a task uses and the metrics that it is scored by. Logs, metrics, evaluation,
/// report and sweep read this one table.
struct TaskTraits {
  std::string_view terms;       ///< what has a loss each: "bytes", "tokens", "images"
  std::string_view rate;        ///< what is counted per second: "tokens", "images"
  std::string_view unit;        ///< one of these: "token", "image"
  std::string_view examples;    ///< what a batch consists of: "sequences", "images", "graphs"
  std::string_view loss_unit;   ///< " nats", or "" where it is the metric's
  std::vector<Metric> metrics;  ///< the most important one first
  SampleKind samples = SampleKind::none;

  const Metric& metric() const { return metrics.front(); }
};

const TaskTraits& traits_of(TaskKind kind);
/// The loss itself: what runs of different tasks have in common.
const Metric& loss_metric();

/// nats → bits
double bits(double nats);

}  // namespace ssa
