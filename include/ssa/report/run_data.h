#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/storage/metrics.h"
#include "ssa/tasks/analysis.h"
#include "ssa/tasks/cost.h"
#include "ssa/tasks/metric.h"

namespace ssa::report {

/// A point of an ensemble curve, in the task's metric.
struct EnsemblePoint {
  int64_t samples = 0;
  double value = 0;
  std::optional<double> error = {};  ///< standard error; not there: of a single item
  /// Standard error of the difference to renorm on the same items. Older files lack it.
  std::optional<double> paired_error = {};
};

/// The contents of an eval-*.json file. A key that it lacks is not set.
struct Evaluation {
  std::string file;
  std::string mode;  ///< renorm or ensemble
  std::string split;
  std::string weights;  ///< trained or average
  std::optional<int64_t> step, samples, tokens;
  std::optional<int64_t> split_tokens;   ///< of which `tokens` were scored
  std::vector<std::string> differences;  ///< from what the run itself is scored on, in words
  std::vector<std::string> overrides;    ///< as given with --set
  std::optional<double> loss;            ///< mean per loss term
  std::vector<std::pair<std::string, double>> metrics;  ///< every other number, by its key
  std::optional<double> spread;  ///< of single sub-models, in the task's metric
  std::optional<double> seconds;
  std::vector<EnsemblePoint> curve;
  /// What dense attention scores on the items of an ensemble, by metric. Older files lack it.
  std::vector<std::pair<std::string, double>> renorm;
  std::optional<double> difference;  ///< of the whole ensemble to renorm, in the task's metric
  std::vector<EvalTable> analysis;
};

/// A key that has another value in the steps after `after_step` than before.
struct ConfigChange {
  int64_t after_step = 0;
  std::string key, before, after;
};

/// A line of metrics.jsonl. Of a training with very many lines it stands for several in a row: it
/// is the last of them, with the mean loss and speed, the most memory and all of the waiting.
struct LoggedEvent : MetricsEvent {
  int64_t lines = 1;
  std::optional<double> lowest_loss = {}, highest_loss = {};  ///< of the training, if finite
};

/// A PNG in the run's samples/.
struct SamplePicture {
  int64_t step = 0;
  std::string png;
};

/// A text file in the run's samples/.
struct SampleTexts {
  int64_t step = 0;
  std::string text;
};

/// The run folder's start.json: what the run was last started on. Older folders have none.
struct RunStart {
  std::string date;    ///< "2026-11-29"
  std::string device;  ///< with its number of threads
  std::optional<int64_t> ranks, data_bytes;
};

/// Everything that a page about a run needs from its folder.
struct Run {
  std::string dir;
  std::string name;    ///< last part of the path, or the whole path if that is not unique
  std::string scheme;  ///< scheme_name()
  size_t style = 0;    ///< colour and marker: runs that differ in the seed only share one
  Config config;
  std::vector<LoggedEvent> events;  ///< by step
  RunStart start;
  std::vector<ConfigChange> config_changes;  ///< oldest first
  std::vector<Evaluation> evaluations;
  std::string sample;  ///< generated text
  std::vector<SamplePicture>
      pictures;                      ///< the last of its steps, and a few spread over those before
  std::vector<SampleTexts> texts;    ///< the same of texts
  std::vector<std::string> missing;  ///< what could not be read, in words
  std::optional<TrainingCost> cost;
  std::optional<int64_t> parameters;
  int64_t terms_per_example = 1;  ///< of the task
  int64_t finetune_start = 0;     ///< first dense step of +FT; config.train.steps if there is none

  /// Events of a split that have a loss, in the order of their steps.
  std::vector<const LoggedEvent*> losses_of(std::string_view split) const;
  /// The last step of any event.
  int64_t last_step() const;
  /// An evaluation of the run itself, not of other data or another config: that of the latest step,
  /// and of several the one with most samples. Null: none.
  const Evaluation* evaluation(std::string_view mode, std::string_view split) const;
  /// Loss terms per step: tokens, images.
  double terms_per_step() const;
  /// Mean over all steps logged so far, with those of +FT.
  std::optional<double> overall_terms_per_second() const;
  std::optional<double> peak_memory_bytes() const;
  /// Forward operations until the end of a step, as training_cost() counts them. +FT is dense.
  std::optional<double> flop_until(double step) const;
};

/// The index of the dense config to compare speed and memory with: one that differs in `ssa` only;
/// if there is none, one that differs in the seed too, then one that also differs in keys that do
/// not change the training.
std::optional<size_t> dense_partner(const std::vector<Config>& configs, const Config& config);

/// Replaces each folder that is not a run folder by the run folders in it, in the order of the
/// sweep that made them, then by name. A folder without any stays as given.
std::vector<std::string> find_runs(const std::vector<std::string>& dirs);

/// Reads the run folders of find_runs(), each once. Throws ConfigError naming the folder or the
/// config that cannot be read.
std::vector<Run> load_runs(const std::vector<std::string>& run_dirs);

/// Whether both are scored on the same terms of the same weights, as far as their files say.
bool is_comparable(const Evaluation& a, const Evaluation& b);
/// Whether the validation losses of training are about the same items: the same task, data, split
/// and part of it.
bool is_comparable(const Run& a, const Run& b);

/// The runs of each style, in the order of their first ones: indices.
std::vector<std::vector<size_t>> style_groups(const std::vector<Run>& runs);

/// A run that has not begun: what is known from its config.
Run planned_run(const Config& config);

/// The metric that all runs share, or the loss if their tasks differ.
const Metric& common_metric(const std::vector<Run>& runs);
/// All metrics that the runs share.
std::vector<Metric> common_metrics(const std::vector<Run>& runs);
/// What all runs count per second, "tokens" or "sub-pixels"; "terms" if they count different
/// things.
std::string_view common_rate(const std::vector<Run>& runs);
/// What losses are measured in: " nats", or "" if that is the unit of a target, or not the same.
std::string_view common_loss_unit(const std::vector<Run>& runs);
/// The metric as the run recorded it, or computed from the loss if the record lacks it. Nothing for
/// no evaluation (null).
std::optional<double> value_of(const Metric& metric, const MetricsEvent& event);
std::optional<double> value_of(const Metric& metric, const Evaluation* evaluation);
/// The validation of the training at which the metric is best. Null: there is none.
const LoggedEvent* best_validation(const Run& run, const Metric& metric);
/// The metric at the last event of a split that has a loss.
std::optional<double> last_value(const Run& run, std::string_view split, const Metric& metric);

}  // namespace ssa::report
