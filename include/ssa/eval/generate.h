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

/// With which connections and how much context a text is continued.
struct ReadingOptions {
  EvalMode mode = EvalMode::renorm;
  int64_t samples = 50;  ///< ensemble: sub-models whose predictions are averaged
  int64_t slide = 0;     ///< tokens dropped at a time where the context is full; 0: half of it
};

/// Predicts the next token of a growing text, keeping keys and values of what it has read.
///
/// The context is a window of config.data.length tokens. As in evaluation windows begin at
/// multiples of `slide`, and the first one that has room for all that follows its beginning is
/// used: a full window is left for the next one, which is read from its beginning. slide 1 always
/// looks at as much as possible, and reads all of it again for each token.
///
/// renorm: dense attention. ensemble: plans of window w and sub-model r are those of evaluate()
/// with this length and overlap length - slide; the prediction is the mean of the probabilities.
class NextToken {
 public:
  /// Throws ConfigError for options outside their ranges.
  NextToken(const DecoderLm& model, const Config& config, const ReadingOptions& options,
            Device device);
  /// Scores (V) of the token behind `text`, whose softmax is the prediction. `text` begins with
  /// what it was in the last call, and is not empty.
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

/// Continues `text` by `count` tokens. Each token is also given to `emit` as it is drawn; emit
/// returning false stops. Draws are keyed by (seed, token number).
std::vector<int32_t> generate(NextToken& next, std::vector<int32_t> text, int64_t count,
                              const SamplingOptions& options,
                              const std::function<bool(int32_t)>& emit = {});

}  // namespace ssa
