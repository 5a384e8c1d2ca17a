#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/data/token_dataset.h"
#include "ssa/dist/communicator.h"
#include "ssa/eval/lm_metric.h"
#include "ssa/models/decoder_lm.h"

namespace ssa {

/// How far an evaluation is.
struct EvalProgress {
  int64_t done = 0;  ///< tokens; of an ensemble's window that is being scored, a part
  int64_t total = 0;
  double loss = 0;  ///< mean over the windows scored so far, nats per token; 0 before the first
};

struct EvalOptions {
  EvalMode mode = EvalMode::renorm;
  int64_t samples = 50;    ///< ensemble: plans drawn for each window
  int64_t max_tokens = 0;  ///< score only the first this many tokens of the split; 0: all
  int64_t batch_size = 1;  ///< renorm: windows at a time
  /// Who shares the work; null: this process does all of it. All ranks call evaluate_lm() with the
  /// same model, data and options.
  Communicator* ranks = nullptr;
  /// Called on every rank after each batch of windows, in an ensemble after each sample of each
  /// window; of several ranks after one on each. Returning false on any rank stops the evaluation
  /// on all, at the same place. A window that is not finished then does not count.
  std::function<bool(const EvalProgress&)> progress{};
};

/// One point of the ensemble curve: the loss of the mean of the first `samples` predictions.
struct CurvePoint {
  int64_t samples = 0;
  double loss = 0;     ///< nats per token
  double stderr_ = 0;  ///< standard error over windows, nats
};

struct EvalResult {
  int64_t tokens = 0;
  double loss = 0;                ///< mean negative log-likelihood, nats per token
  std::vector<CurvePoint> curve;  ///< ensemble: samples 1, 2, … R
  double spread = 0;              ///< ensemble: standard deviation of single sub-models' losses
  double seconds = 0;             ///< of wall time, on this rank
  bool complete = true;           ///< false if `progress` stopped it before the end
};

/// Scores a split with a sliding window of config.eval.length and .overlap; every token once.
///
/// renorm: dense attention on the trained weights. ensemble: for each window R sets of plans are
/// drawn as in training (keyed by train.seed, window and sample, so independent of batching), and
/// the probabilities of each token averaged: loss = -log((1/R)·Σ_r p_r(token)).
///
/// Ranks take batches of windows, or samples of windows, in turn, in rounds of one each. Results
/// are combined in their order on every rank: they have the bits of a single rank with as many
/// threads.
EvalResult evaluate_lm(const DecoderLm& model, const Config& config, const TokenDataset& dataset,
                       Split split, const EvalOptions& options, Device device);

}  // namespace ssa
