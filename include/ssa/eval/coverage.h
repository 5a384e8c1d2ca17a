#pragma once

#include <cstdint>
#include <functional>
#include <limits>

#include "ssa/dist/communicator.h"
#include "ssa/tasks/task.h"

namespace ssa {

// Does a sub-model predict better whose plans have sampled more of the connections that matter? The
// hypothesis of information pathways, asked of a trained model.

/// A sub-model on a window. A connection is a pair of target and source in a layer that samples.
struct CoveredWindow {
  int64_t item = 0, sample = 0;
  double loss = 0;         ///< mean over the window's tokens, nats
  double renorm_loss = 0;  ///< of dense attention on the same tokens
  double coverage = 0;     ///< which part of the strongest connections its plans have sampled
};

struct CoverageOptions {
  /// Of each target so many sources count, over all layers that sample: those that the dense model
  /// gives the highest attention weights, averaged over the heads.
  int64_t strongest = 8;
  int64_t samples = 50;           ///< sub-models of each window, those of an ensemble
  Communicator* ranks = nullptr;  ///< that share the windows; null: one process
  /// Receives each sub-model of each window on every rank, in order.
  std::function<void(const CoveredWindow&)> on_window{};
  /// Called after each round of a window per rank; returns whether to go on.
  std::function<bool(int64_t windows_done)> progress{};
};

/// A correlation within windows: the mean over the windows, and its standard error. Between windows
/// it would say how hard the texts are. NaN where there is none: of no window, and of a single one.
struct Correlation {
  double value = std::numeric_limits<double>::quiet_NaN();
  double stderr_ = std::numeric_limits<double>::quiet_NaN();
};

struct CoverageResult {
  double coverage = 0;   ///< mean
  int64_t windows = 0;   ///< with a correlation: in the others all sub-models cover the same
  Correlation pearson;   ///< of coverage and loss
  Correlation spearman;  ///< of their ranks
  bool complete = true;
};

/// Compares the loss of sub-models with what they cover. The model stores its attention weights
/// (model.attention: materialized) and its plans are over one line of positions. Throws ConfigError
/// if no layer samples.
CoverageResult measure_coverage(const Model& model, const Task& task, const EvalSet& set,
                                const CoverageOptions& options, Device device);

/// Correlations of two lists of equal length; NaN if one of them is constant.
double pearson(const std::vector<double>& x, const std::vector<double>& y);
/// Pearson's of the ranks, equal values sharing their mean rank.
double spearman(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace ssa
