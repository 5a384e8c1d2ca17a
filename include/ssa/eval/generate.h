#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ssa/config/config.h"
#include "ssa/models/decoder_lm.h"

namespace ssa {

struct SamplingOptions {
  double temperature = 1.0;  ///< 0: always the likeliest token
  int64_t top_k = 0;         ///< keep the k likeliest; 0: all
  double top_p = 1.0;        ///< keep the likeliest tokens that together reach this probability
  uint64_t seed = 1;
};

/// Picks a token from scores (V), with the given 32 random bits. Throws ConfigError for options
/// outside their ranges.
int32_t pick_token(const std::vector<double>& scores, const SamplingOptions& options,
                   uint32_t word);

/// The attention and the context with which a text is continued.
struct ReadingOptions {
  EvalMode mode = EvalMode::renorm;
  int64_t samples = 50;  ///< ensemble: sub-models whose predictions are averaged
  int64_t slide = 0;     ///< tokens dropped when the context is full; 0: half of it
};

/// Predicts the next token of a growing text. Keeps the keys and values of the tokens read so far.
///
/// The context is a window of config.data.length tokens. As in evaluation, windows begin at
/// multiples of `slide`. When a window is full, the next one is read from its beginning. With slide
/// 1 the context is always as long as possible, but all of it is read again for each token.
///
/// renorm: dense attention. ensemble: the plans of window w and sub-model r are those of evaluate()
/// with this length and overlap length - slide; the prediction is the mean of the probabilities.
class NextToken {
 public:
  /// Throws ConfigError for options outside their ranges.
  NextToken(const DecoderLm& model, const Config& config, const ReadingOptions& options,
            Device device);
  /// Scores (V) of the token after `text`; their softmax is the prediction. `text` is not empty and
  /// begins with the text of the last call.
  std::vector<double> scores(const std::vector<int32_t>& text);

 private:
  void start(int64_t window);

  const DecoderLm& model_;
  ReadingOptions options_;
  Device device_;
  std::vector<PlanSpec> specs_;
  uint64_t plan_seed_;
  DecoderCache cache_;
  int64_t window_ = -1;  // none yet
};

/// Continues `text` by `count` tokens. Calls `emit` with each token as it is drawn, and stops if it
/// returns false. Draws are keyed by (seed, token number).
std::vector<int32_t> generate(NextToken& next, std::vector<int32_t> text, int64_t count,
                              const SamplingOptions& options,
                              const std::function<bool(int32_t)>& emit = {});

}  // namespace ssa
