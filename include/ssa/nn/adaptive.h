#pragma once

#include <string>
#include <vector>

#include "ssa/nn/layers.h"

// A vocabulary in bands, from frequent to rare words. Each band has narrower embeddings than the
// one before. Input: Baevski & Auli 2018; output: Grave et al. 2017.

namespace ssa::nn {

/// Words first … first+size-1, with embeddings of `width`.
struct Band {
  int64_t first = 0;
  int64_t size = 0;
  int64_t width = 0;
};

/// The bands of a vocabulary of this many words. A band begins at a cutoff (the first at 0) and is
/// `factor` times narrower than the one before, rounded down. Throws ConfigError unless cutoffs
/// ascend between 0 and the vocabulary's size, and the last band has a width.
std::vector<Band> vocabulary_bands(int64_t vocabulary, const std::vector<int64_t>& cutoffs,
                                   int64_t width, int64_t factor);

/// The rows of a band are padded with other rows to a multiple of this. Otherwise the number of
/// rows would change with each batch, and products would be set up anew each time. Padding also
/// avoids the case of no rows.
inline constexpr int64_t kRowsUnit = 64;

/// Embeddings in bands, each projected to the model's width without bias. Parameters
/// `NAME.bands.{i}.weight` (words of the band, its width) and `NAME.bands.{i}.projection.weight`
/// (width, band's width); initial values as in fairseq.
class AdaptiveInput {
 public:
  AdaptiveInput(ParameterStore& store, const std::string& name, std::vector<Band> bands,
                int64_t width);
  /// factor · projected embeddings of ids (R) i32, in dtype `data` → (R, width)
  Variable operator()(const Tensor& ids, double factor, DType data) const;

  const std::vector<Band>& bands() const { return bands_; }
  const Variable& table(size_t band) const { return tables_[band]; }
  const ops::PackedWeights& projection(size_t band) const { return projections_[band]; }

 private:
  std::vector<Band> bands_;
  int64_t width_;
  std::vector<Variable> tables_;
  std::vector<ops::PackedWeights> projections_;
};

/// Which weights an adaptive softmax shares with the adaptive input, and its dropout in training.
struct AdaptiveSoftmaxOptions {
  bool tie_weights = true;
  bool tie_projections = true;
  double dropout = 0.0;
};

/// Probabilities over a vocabulary in bands. The head scores the words of the first band and each
/// other band as a whole; a tail scores the words within its band, from x projected to the band's
/// width:
///
///   p(word) = p_head(word), or p_head(band)·p_tail(word)
///
/// Parameters: `NAME.classes.weight` (tails, width); unless tied `NAME.bands.{i}.weight` (as the
/// input's; i = 0 belongs to the head) and `NAME.bands.{i}.projection.weight` (band's width, width)
/// for i ≥ 1. A tied projection is the input's, transposed.
class AdaptiveSoftmax {
 public:
  AdaptiveSoftmax(ParameterStore& store, const std::string& name, const AdaptiveInput& input,
                  int64_t width, const AdaptiveSoftmaxOptions& options);
  /// Negative log-likelihood in nats of targets (R) i32 given x (R, width), 0 where the target is
  /// -1 → (R) wide(dtype). Applies dropout to x and to each tail's projection of it, as fairseq
  /// does, at places `place`, `place` + 1, ….
  Variable losses(const Variable& x, const Tensor& targets, const Context& context,
                  int64_t place) const;
  /// Log-probabilities of all words, (R, V) wide(dtype): for few rows. Not on the tape.
  Tensor log_probabilities(const Tensor& x) const;

 private:
  struct Tail {
    Band band;
    ops::PackedWeights projection, table;
    bool transposed;  ///< the projection is the input's
    Variable project(const Variable& x) const;
  };
  Tensor head_targets(const Tensor& targets) const;

  int64_t words_in_head_;
  double dropout_;
  ops::PackedWeights head_;
  std::vector<Tail> tails_;
};

}  // namespace ssa::nn
