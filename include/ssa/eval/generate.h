#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

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
int32_t pick_token(const std::vector<float>& logits, const SamplingOptions& options, uint32_t word);

/// Continues `prompt` by `count` tokens, dense attention over at most `context` tokens. Each token
/// is also given to `emit` as it is drawn; emit returning false stops. Draws are keyed by (seed,
/// token number).
std::vector<int32_t> generate(const DecoderLm& model, int64_t layers, std::vector<int32_t> prompt,
                              int64_t count, int64_t context, const SamplingOptions& options,
                              Device device, const std::function<bool(int32_t)>& emit = {});

}  // namespace ssa
