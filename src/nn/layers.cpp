#include "ssa/nn/layers.h"

#include <bit>
#include <cmath>
#include <numbers>

namespace ssa::nn {

Linear::Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out, double gain)
    : weight_(store.add(name + ".weight", {out, in}, Init::xavier_uniform(in, out, gain))),
      bias_(store.add(name + ".bias", {out}, Init::zeros())) {}

LayerNorm::LayerNorm(ParameterStore& store, const std::string& name, int64_t width)
    : weight_(store.add(name + ".weight", {width}, Init::ones())),
      bias_(store.add(name + ".bias", {width}, Init::zeros())) {}

FeedForward::FeedForward(ParameterStore& store, const std::string& name, int64_t width,
                         int64_t hidden, Activation activation, double activation_dropout)
    : up_(store, name + ".up", width, hidden),
      down_(store, name + ".down", hidden, width),
      activation_(activation),
      activation_dropout_(activation_dropout) {}

Variable FeedForward::operator()(const Variable& x, const Context& context, int64_t layer) const {
  const Variable hidden = ops::activation(activation_, up_(x));
  return down_(ops::dropout(
      hidden, context.dropout(activation_dropout_, RngPurpose::activation_dropout, layer)));
}

// As in fairseq, query, key and value start smaller, as the three parts of one stacked matrix.
SelfAttention::SelfAttention(ParameterStore& store, const std::string& name, int64_t width,
                             int64_t heads, double attention_dropout)
    : query_(store, name + ".query", width, width, 1.0 / std::numbers::sqrt2),
      key_(store, name + ".key", width, width, 1.0 / std::numbers::sqrt2),
      value_(store, name + ".value", width, width, 1.0 / std::numbers::sqrt2),
      output_(store, name + ".output", width, width),
      heads_(heads),
      dropout_(attention_dropout) {}

Variable SelfAttention::operator()(const Variable& x, const AttentionInput& input,
                                   const Context& context, int64_t layer) const {
  const int64_t width = x.dim(1);
  const Shape split{input.batch, input.length, heads_, width / heads_};  // (B, N, H, D)
  const ops::AttentionOptions options{
      input.plan, input.causal, input.alibi_slopes,
      context.dropout(dropout_, RngPurpose::attention_dropout, layer)};
  const Variable mixed =
      ops::attention(ops::reshape(query_(x), split), ops::reshape(key_(x), split),
                     ops::reshape(value_(x), split), options);
  return output_(ops::reshape(mixed, x.shape()));
}

Tensor alibi_slopes(int64_t heads, Device device) {
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(heads)));
  std::vector<float> slopes;
  for (int64_t h = 1; h <= power; ++h) {
    slopes.push_back(
        static_cast<float>(std::exp2(-8.0 * static_cast<double>(h) / static_cast<double>(power))));
  }
  for (int64_t h = 1; static_cast<int64_t>(slopes.size()) < heads; h += 2) {
    slopes.push_back(static_cast<float>(
        std::exp2(-8.0 * static_cast<double>(h) / static_cast<double>(2 * power))));
  }
  return Tensor::from(slopes, {heads}, device, MemoryCategory::parameters);
}

}  // namespace ssa::nn
