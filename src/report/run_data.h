#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/storage/metrics.h"
#include "ssa/tasks/cost.h"
#include "ssa/tasks/metric.h"

namespace ssa::report {

/// A point of an ensemble curve, in the task's metric.
struct EnsemblePoint {
  int64_t samples = 0;
  double value = 0;
  double error = 0;  ///< standard error
};

/// What an eval-*.json file says; what it leaves out is not set.
struct Evaluation {
  std::string file;
  std::string mode;  ///< renorm or ensemble
  std::string split;
  std::optional<int64_t> step, samples, tokens;
  std::optional<double> loss;                           ///< mean of a term
  std::vector<std::pair<std::string, double>> metrics;  ///< every other number, by its key
  std::optional<double> spread;  ///< of single sub-models, in the task's metric
  std::optional<double> seconds;
  std::vector<EnsemblePoint> curve;
};

/// Everything the page needs to know of a run folder.
struct Run {
  std::string dir;
  std::string name;    ///< last part of the path, or the path where that is not unique
  std::string scheme;  ///< scheme_name()
  Config config;
  std::vector<MetricsEvent> events;
  std::vector<Evaluation> evaluations;
  std::string sample;                ///< generated text
  std::vector<std::string> missing;  ///< what could not be read, in words
  std::optional<TrainingCost> cost;
  std::optional<int64_t> parameters;
  int64_t terms_per_example = 1;  ///< of the task
  int64_t finetune_start = 0;     ///< first dense step of +FT; config.train.steps if there is none

  /// Events of a split that carry a loss.
  std::vector<const MetricsEvent*> losses_of(std::string_view split) const;
  /// The last step that any event is about.
  int64_t last_step() const;
  /// Of several the one of the latest step, then the one with most samples. Null if there is none.
  const Evaluation* evaluation(std::string_view mode, std::string_view split) const;
  /// Loss terms of a step: tokens, images.
  double terms_per_step() const;
  /// Over all steps logged so far, +FT included.
  std::optional<double> overall_terms_per_second() const;
  std::optional<double> peak_memory_bytes() const;
  /// Forward operations until the end of a step, counted as training_cost() does; +FT is dense.
  std::optional<double> flop_until(double step) const;
};

/// The index of the dense config to compare speed and memory with: one that differs in `ssa` only,
/// else in the seed too, else also in what does not change training.
std::optional<size_t> dense_partner(const std::vector<Config>& configs, const Config& config);

/// The run folders that are meant: a folder that is no run folder stands for those in it, in the
/// order of the sweep that made them, then by name. Folders in which there are none stay as given.
std::vector<std::string> find_runs(const std::vector<std::string>& dirs);

/// Reads the run folders of find_runs(); one given twice is read once. Throws ConfigError naming
/// the folder or the config that cannot be read.
std::vector<Run> load_runs(const std::vector<std::string>& run_dirs);

/// The metric that all runs share; the loss if their tasks differ.
const Metric& common_metric(const std::vector<Run>& runs);
/// The metric as the run wrote it down; of a record that lacks it, from the loss.
std::optional<double> value_of(const Metric& metric, const MetricsEvent& event);
std::optional<double> value_of(const Metric& metric, const Evaluation& evaluation);

}  // namespace ssa::report
