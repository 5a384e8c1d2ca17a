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

/// Predicts the next tokens of texts that grow side by side. Keeps the keys and values of what was
/// read so far.
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
            Device device, int64_t texts = 1);
  /// For each text, scores (V) of the token after its first `end` ones; their softmax is the
  /// prediction. `end` is at least 1 and larger than in the last call, whose texts these continue.
  std::vector<std::vector<double>> scores(const std::vector<std::vector<int32_t>>& texts,
                                          int64_t end);
  /// The same for one text and all of its tokens.
  std::vector<double> scores(const std::vector<int32_t>& text);

 private:
  void start(int64_t window);

  const DecoderLm& model_;
  ReadingOptions options_;
  Device device_;
  std::vector<PlanSpec> specs_;
  uint64_t plan_seed_;
  int64_t texts_;
  int64_t samples_;
  DecoderCache cache_;
  int64_t window_ = -1;  // none yet
};

/// Continues `text` by `count` tokens. Calls `emit` with each token as it is drawn, and stops if it
/// returns false. Draws are keyed by (seed, token number).
std::vector<int32_t> generate(NextToken& next, std::vector<int32_t> text, int64_t count,
                              const SamplingOptions& options,
                              const std::function<bool(int32_t)>& emit = {});

/// Continues each of some texts by `count` tokens, side by side: a shorter one begins to grow while
/// a longer one is still read, so that the weights are read once for all of them. Draws are keyed
/// by (seed, numbers[i], token number). `emit` gets the place of a text and its token. Returns what
/// was drawn for each text.
std::vector<std::vector<int32_t>> generate_side_by_side(
    NextToken& next, std::vector<std::vector<int32_t>> texts, const std::vector<uint32_t>& numbers,
    int64_t count, const SamplingOptions& options,
    const std::function<bool(size_t, int32_t)>& emit = {});

/// How many of `count` texts fit into the memory of a device side by side, in at most half of what
/// is free. Throws OutOfMemoryError if not even one does.
int64_t texts_side_by_side(const DecoderLm& model, const Config& config,
                           const ReadingOptions& options, int64_t count, Device device);

}  // namespace ssa
