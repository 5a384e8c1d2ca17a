#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ssa/dist/communicator.h"
#include "ssa/eval/score_means.h"

namespace ssa {

/// The progress of an evaluation.
struct EvalProgress {
  int64_t done = 0;  ///< terms; unfinished items of an ensemble count by their finished models
  int64_t total = 0;
  double value = 0;  ///< the task's metric over the items scored so far; 0 before the first
};

struct EvalOptions {
  EvalMode mode = EvalMode::renorm;
  int64_t samples = 50;    ///< ensemble: sub-models drawn for each item
  int64_t batch_size = 1;  ///< renorm: items at a time
  /// The ranks that share the work; null: one process. All ranks call evaluate() with the same
  /// model, data and options.
  Communicator* ranks = nullptr;
  /// Called on every rank after each batch of items, or in an ensemble after each model of a
  /// batch. With several ranks, after each round in which every rank computes one. If it returns
  /// false on any rank, the evaluation stops on all ranks at the same place; unfinished items do
  /// not count.
  std::function<bool(const EvalProgress&)> progress{};
  /// Receives the prediction for each scored item, on every rank, in the items' order. All ranks
  /// set it or none: it decides what they send each other.
  std::function<void(const ItemPrediction&)> on_prediction{};
  /// on_prediction also gets the likeliest class of each term (ItemPrediction::likeliest), where
  /// the model has classes. This takes time with a large vocabulary.
  bool likeliest = false;
};

/// One point of the ensemble curve: the mean of the first `samples` predictions.
struct CurvePoint {
  int64_t samples = 0;
  double loss = 0;                   ///< per term
  double stderr_ = 0;                ///< of the loss, over the items
  std::vector<MetricValue> metrics;  ///< in the order of the task's metrics
  /// The first metric less that of renorm on the same items, with the paired standard error.
  MetricValue difference;
};

/// What dense attention scores on the items of an ensemble.
struct RenormScore {
  double loss = 0;
  std::vector<MetricValue> metrics;  ///< in the order of the task's metrics
};

struct EvalResult {
  int64_t terms = 0;
  double loss = 0;              ///< mean per term: nats, or the unit of the target
  std::vector<double> metrics;  ///< in the order of the task's metrics
  std::vector<double> errors;   ///< of the metrics: their standard errors over the items
  std::vector<PartitionScores> partitions;  ///< in the order of EvalSet::partitions()
  ScoreMeans means;                         ///< what two evaluations are compared by
  std::vector<CurvePoint> curve;            ///< ensemble: samples 1, 2, … R
  RenormScore renorm;                       ///< ensemble
  double spread = 0;     ///< ensemble: standard deviation of single sub-models' losses
  double seconds = 0;    ///< of wall time, on this rank
  bool complete = true;  ///< false if `progress` stopped it before the end
};

/// Scores the items of a split, each once.
///
/// renorm: dense attention with the trained weights. ensemble: R source plans are drawn for each
/// group of items as in training (keyed by train.seed, first item and sample), and the predictions
/// are averaged as the task says. Dense attention scores the same items, for the difference. An
/// item is scored when all its samples are computed, and handed to on_prediction; only a few sums
/// are kept of it.
///
/// Several ranks compute batches of items, or samples of them, in turn. Every rank combines the
/// results in the same order, so they have the bits of a single rank with as many threads.
EvalResult evaluate(const Model& model, const Task& task, const EvalSet& set,
                    const EvalOptions& options, Device device);

}  // namespace ssa
