#include "ssa/eval/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ssa/models/decoder_plans.h"

namespace ssa {

namespace {

void check(const SamplingOptions& options) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw ConfigError("temperature: {} is not a number from 0 up", options.temperature);
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    throw ConfigError("top-p: {} is outside (0, 1]", options.top_p);
  }
  if (options.top_k < 0) throw ConfigError("top-k: {} is negative", options.top_k);
}

}  // namespace

int32_t pick_token(const std::vector<float>& logits, const SamplingOptions& options,
                   uint32_t word) {
  check(options);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  if (options.temperature == 0) return order.front();
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(order.size())) {
    order.resize(static_cast<size_t>(options.top_k));
  }
  const double highest = logits[static_cast<size_t>(order.front())];
  std::vector<double> weights;
  double total = 0;
  for (const int32_t token : order) {
    weights.push_back(
        std::exp((logits[static_cast<size_t>(token)] - highest) / options.temperature));
    total += weights.back();
  }
  double kept = 0;
  size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < options.top_p * total)) {
    kept += weights[count++];
  }
  double point = uniform_open(word) * kept;
  for (size_t i = 0; i < count; ++i) {
    point -= weights[i];
    if (point < 0) return order[i];
  }
  return order[count - 1];
}

std::vector<int32_t> generate(const DecoderLm& model, int64_t layers, std::vector<int32_t> tokens,
                              int64_t count, int64_t context, const SamplingOptions& options,
                              Device device, const std::function<bool(int32_t)>& emit) {
  const NoGrad guard;
  const RngKey key{.seed = options.seed, .purpose = RngPurpose::generate};
  const size_t prompt = tokens.size();
  SSA_CHECK(prompt > 0 && context > 0, "generate: an empty prompt or context");
  for (int64_t n = 0; n < count; ++n) {
    const auto length = std::min(static_cast<int64_t>(tokens.size()), context);
    const std::vector<int32_t> window(tokens.end() - length, tokens.end());
    const auto plans = to_tensors(draw_plans(dense_plan_specs(layers, length), RngKey{}), device);
    const Tensor ids = Tensor::from(window, {length}, device, MemoryCategory::data);
    const Variable scores = model.last_logits({1, length, ids, &plans}, nn::Context{});
    const float* row = scores.value().data<float>();
    const std::vector<float> logits(row, row + scores.value().numel());
    tokens.push_back(pick_token(logits, options, key.word(static_cast<uint64_t>(n))));
    if (emit && !emit(tokens.back())) break;
  }
  return std::vector<int32_t>(tokens.begin() + static_cast<std::ptrdiff_t>(prompt), tokens.end());
}

}  // namespace ssa
