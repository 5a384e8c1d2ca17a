#include "ssa/nn/layers.h"

#include <bit>
#include <cmath>
#include <numbers>

namespace ssa::nn {

Linear::Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out,
               const Init& weight, const Init& bias)
    : map_{ops::PackedWeights({store.add(name + ".weight", {out, in}, weight)}),
           {store.add(name + ".bias", {out}, bias)}} {}

ops::LinearMap Linear::stacked(const std::vector<const Linear*>& layers) {
  std::vector<Variable> weights, biases;
  for (const Linear* layer : layers) {
    for (const Variable& weight : layer->map_.weights.parts()) weights.push_back(weight);
    for (const Variable& bias : layer->map_.biases) biases.push_back(bias);
  }
  return {ops::PackedWeights(std::move(weights)), std::move(biases)};
}

LayerNorm::LayerNorm(ParameterStore& store, const std::string& name, int64_t width)
    : weight_(store.add(name + ".weight", {width}, Init::ones())),
      bias_(store.add(name + ".bias", {width}, Init::zeros())) {}

FeedForward::FeedForward(ParameterStore& store, const std::string& name, int64_t width,
                         int64_t hidden, Activation activation, double activation_dropout,
                         const std::optional<Init>& init)
    : up_(store, name + ".up", width, hidden, init.value_or(Init::xavier_uniform(width, hidden))),
      down_(store, name + ".down", hidden, width,
            init.value_or(Init::xavier_uniform(hidden, width))),
      activation_(activation),
      activation_dropout_(activation_dropout) {}

FeedForward::FeedForward(Linear up, Linear down, Activation activation, double activation_dropout)
    : up_(std::move(up)),
      down_(std::move(down)),
      activation_(activation),
      activation_dropout_(activation_dropout) {}

Variable FeedForward::operator()(const Residual& residual, const LayerNorm& norm,
                                 const Context& context, int64_t layer) const {
  const Dropout inner = context.dropout(activation_dropout_, RngPurpose::activation_dropout, layer);
  return residual([&](const Variable& base) {
    ops::Activated activated(activation_);
    const Variable hidden = norm(residual.x, up_.map(), &activated);
    return ops::activation_linear(activated, hidden, inner, down_.map(), base);
  });
}

namespace {

/// As in fairseq, query, key and value are initialised as three parts of one stacked matrix.
Init stacked_init(int64_t width) {
  return Init::xavier_uniform(width, width, 1.0 / std::numbers::sqrt2);
}

}  // namespace

SelfAttention::SelfAttention(ParameterStore& store, const std::string& name, int64_t width,
                             int64_t heads, double attention_dropout, const RelativeReach& relative,
                             const std::optional<RelativeTable>& shared,
                             const std::optional<Init>& init)
    : query_(store, name + ".query", width, width, init.value_or(stacked_init(width))),
      key_(store, name + ".key", width, width, init.value_or(stacked_init(width))),
      value_(store, name + ".value", width, width, init.value_or(stacked_init(width))),
      output_(store, name + ".output", width, width,
              init.value_or(Init::xavier_uniform(width, width))),
      query_key_value_(Linear::stacked({&query_, &key_, &value_})),
      key_value_(Linear::stacked({&key_, &value_})),
      heads_(heads),
      dropout_(attention_dropout),
      relative_(shared) {
  const bool biased = relative.rows != 0 || relative.columns != 0;
  if (biased && !relative_) relative_.emplace(store, name + ".relative_bias", heads, relative);
}

ops::RelativeBias SelfAttention::relative_bias(const AttentionInput& input) const {
  return relative_ ? relative_->on_grid(input.grid_columns, input.grid_channels)
                   : ops::RelativeBias{};
}

Variable SelfAttention::attend(const Variable& x, const LayerNorm& norm,
                               const AttentionInput& input, const Dropout& dropout) const {
  const int64_t size = x.dim(1) / heads_, sources = input.plan.sources_per_window();
  ops::AttentionOptions options{input.plan, input.causal, input.alibi_slopes, dropout};
  options.compact_sources = input.plan.windows() == 1 && sources < input.length;
  options.materialized = input.materialized;
  options.regions = input.regions;
  options.relative = relative_bias(input);
  if (!options.compact_sources) {
    const Variable all =
        ops::reshape(norm(x, query_key_value_), {input.batch, input.length, 3 * heads_, size});
    return ops::attention({all, 0, heads_}, {all, heads_, heads_}, {all, 2 * heads_, heads_},
                          options);
  }
  const Variable sampled = ops::gather_rows(x, input.batch, input.plan.sources.view({sources}));
  const Variable query =
      ops::reshape(norm(x, query_.map()), {input.batch, input.length, heads_, size});
  const Variable pairs =
      ops::reshape(norm(sampled, key_value_), {input.batch, sources, 2 * heads_, size});
  return ops::attention(query, {pairs, 0, heads_}, {pairs, heads_, heads_}, options);
}

Variable SelfAttention::attend_cached(const Variable& x, const LayerNorm& norm,
                                      const AttentionInput& input) const {
  SSA_CHECK(!input.regions.defined(), "self-attention: a cache knows no regions");
  const NoGrad guard;
  const Tensor all = norm(x, query_key_value_)
                         .value()
                         .view({input.batch, input.length, 3 * heads_, x.dim(1) / heads_});
  KeyValueCache& cache = *input.cached->cache;
  cache.append(all.slice(2, heads_, 2 * heads_));
  return Variable(cache.attend(all.slice(2, 0, heads_), input.cached->plans, input.alibi_slopes,
                               relative_bias(input)));
}

Variable SelfAttention::operator()(const Residual& residual, const LayerNorm& norm,
                                   const AttentionInput& input, const Context& context,
                                   int64_t layer) const {
  const Variable& x = residual.x;
  const Variable mixed =
      input.cached
          ? attend_cached(x, norm, input)
          : attend(x, norm, input, context.dropout(dropout_, RngPurpose::attention_dropout, layer));
  return residual([&](const Variable& base) {
    return ops::linear(ops::reshape(mixed, x.shape()), output_.map(), base);
  });
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
