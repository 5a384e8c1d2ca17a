#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ssa/dist/communicator.h"
#include "ssa/tasks/task.h"

namespace ssa {

/// How far an evaluation is.
struct EvalProgress {
  int64_t done = 0;  ///< terms; of an ensemble's items that are being scored, a part
  int64_t total = 0;
  double value = 0;  ///< the task's metric over the items scored so far; 0 before the first
};

struct EvalOptions {
  EvalMode mode = EvalMode::renorm;
  int64_t samples = 50;    ///< ensemble: sub-models drawn for each item
  int64_t batch_size = 1;  ///< renorm: items at a time
  /// Who shares the work; null: this process does all of it. All ranks call evaluate() with the
  /// same model, data and options.
  Communicator* ranks = nullptr;
  /// Called on every rank after each batch of items, in an ensemble after each sample of each
  /// batch; of several ranks after one on each. Returning false on any rank stops the evaluation on
  /// all, at the same place. Items that are not finished then do not count.
  std::function<bool(const EvalProgress&)> progress{};
};

/// A metric with its standard error over the items.
struct MetricValue {
  double value = 0;
  double stderr_ = 0;
};

/// One point of the ensemble curve: the mean of the first `samples` predictions.
struct CurvePoint {
  int64_t samples = 0;
  double loss = 0;                   ///< per term
  double stderr_ = 0;                ///< of the loss, over the items
  std::vector<MetricValue> metrics;  ///< in the order of the task's
};

struct EvalResult {
  int64_t terms = 0;
  double loss = 0;                ///< mean per term: nats, or the unit of the target
  std::vector<double> metrics;    ///< in the order of the task's
  std::vector<CurvePoint> curve;  ///< ensemble: samples 1, 2, … R
  double spread = 0;              ///< ensemble: standard deviation of single sub-models' losses
  double seconds = 0;             ///< of wall time, on this rank
  bool complete = true;           ///< false if `progress` stopped it before the end
};

/// Scores the items of a split, each once.
///
/// renorm: dense attention on the trained weights. ensemble: for each draw of items R sets of
/// sources are drawn as in training (keyed by train.seed, first item and sample), and predictions
/// are averaged as the task says. An item is scored as soon as its samples are in: what is kept of
/// it are a few sums.
///
/// Ranks take batches of items, or samples of them, in turn, in rounds of one each. Results are
/// combined in their order on every rank: they have the bits of a single rank with as many threads.
EvalResult evaluate(const Model& model, const Task& task, const EvalSet& set,
                    const EvalOptions& options, Device device);

}  // namespace ssa
