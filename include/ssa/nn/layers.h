#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ssa/nn/key_value_cache.h"
#include "ssa/nn/parameters.h"
#include "ssa/nn/relative_table.h"
#include "ssa/ops/ops.h"

namespace ssa::nn {

/// What a forward pass needs besides its input. Dropout acts only in training. Its key names seed,
/// step, rank and micro-batch (stream); each place of dropout in the model has its own `layer`.
struct Context {
  bool training = false;
  RngKey key;

  /// The dropout of place number `place`; inactive outside training.
  Dropout dropout(double probability, RngPurpose purpose, int64_t place) const {
    return {training ? probability : 0.0, key.with_purpose(purpose).with_layer(place)};
  }
};

/// y = x·Wᵀ + b. Parameters `NAME.weight` (out, in) and `NAME.bias` (out).
class Linear {
 public:
  Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out,
         const Init& weight, const Init& bias = Init::zeros());
  /// With Glorot's initial weights.
  Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out)
      : Linear(store, name, in, out, Init::xavier_uniform(in, out)) {}
  Variable operator()(const Variable& x) const { return ops::linear(x, map()); }
  const ops::LinearMap& map() const { return map_; }
  /// Joins layers with the same input into one map, with their results side by side.
  static ops::LinearMap stacked(const std::vector<const Linear*>& layers);

 private:
  ops::LinearMap map_;
};

/// Layer norm over the last axis, ε = 1e-5. Parameters `NAME.weight` and `NAME.bias` (width).
class LayerNorm {
 public:
  LayerNorm(ParameterStore& store, const std::string& name, int64_t width);
  Variable operator()(const Variable& x) const {
    return ops::layer_norm(x, weight_, bias_, kEpsilon);
  }
  /// map(norm(x)), without keeping norm(x); `activated` as in ops::norm_linear().
  Variable operator()(const Variable& x, const ops::LinearMap& map,
                      ops::Activated* activated = nullptr) const {
    return ops::norm_linear(x, weight_, bias_, kEpsilon, map, activated);
  }

 private:
  static constexpr double kEpsilon = 1e-5;
  Variable weight_, bias_;
};

/// x + dropout(branch), the end of half a block. `finish` computes the branch, and may add the
/// residual itself.
struct Residual {
  Variable x;
  Dropout dropout;
  template <class F>
  Variable operator()(F&& finish) const {
    if (!dropout.active()) return finish(x);
    return ops::dropout(finish(Variable()), dropout, x);
  }
};

/// norm → linear → activation → dropout → linear, and the residual around it. Parameters
/// `NAME.up.*` and `NAME.down.*`, with Glorot's initial weights unless `init` is given.
class FeedForward {
 public:
  FeedForward(ParameterStore& store, const std::string& name, int64_t width, int64_t hidden,
              Activation activation, double activation_dropout,
              const std::optional<Init>& init = {});
  /// Of maps with initial values of their own.
  FeedForward(Linear up, Linear down, Activation activation, double activation_dropout);
  /// residual.x + dropout(feed_forward(norm(residual.x))), (R, width); `layer` numbers the place
  /// of the dropout inside.
  Variable operator()(const Residual& residual, const LayerNorm& norm, const Context& context,
                      int64_t layer) const;

 private:
  Linear up_, down_;
  Activation activation_;
  double activation_dropout_;
};

/// Attention of new positions over those that a cache holds, and over each other.
struct CachedAttention {
  KeyValueCache* cache = nullptr;
  std::vector<std::vector<PlanPart>> plans;  ///< see KeyValueCache::attend()
};

/// What one call of self-attention attends over.
struct AttentionInput {
  int64_t batch = 0;   ///< B; rows of x are B·N
  int64_t length = 0;  ///< N
  PlanTensors plan;
  bool causal = false;
  Tensor alibi_slopes;  ///< optional
  /// If given, x holds the N positions after those read. plan and causal are ignored, and there is
  /// no gradient.
  const CachedAttention* cached = nullptr;
  bool materialized = false;  ///< as in ops::AttentionOptions
  Tensor regions{};           ///< (B or 1, N) i32, as in ops::AttentionOptions; optional
  int64_t grid_columns = 0;   ///< for a learned 2-D bias: columns of the grid of positions
  int64_t grid_channels = 1;  ///< and positions in each of its cells
};

/// Multi-head self-attention over a source plan, with a norm in front and a residual around.
/// Parameters `NAME.query|key|value|output.*`. If a plan of one window leaves out positions
/// (unbiased subsampling), keys and values are projected for the sampled positions only. A learned
/// 2-D bias is the last parameter, `NAME.relative_bias` (see RelativeTable), unless it is `shared`
/// with other layers. Initial weights of the maps are Glorot's unless `init` is given.
class SelfAttention {
 public:
  SelfAttention(ParameterStore& store, const std::string& name, int64_t width, int64_t heads,
                double attention_dropout, const RelativeReach& relative = {},
                const std::optional<RelativeTable>& shared = {},
                const std::optional<Init>& init = {});
  /// residual.x + dropout(attention(norm(residual.x))), (B·N, width)
  Variable operator()(const Residual& residual, const LayerNorm& norm, const AttentionInput& input,
                      const Context& context, int64_t layer) const;

 private:
  ops::RelativeBias relative_bias(const AttentionInput& input) const;
  Variable attend(const Variable& x, const LayerNorm& norm, const AttentionInput& input,
                  const Dropout& dropout) const;
  Variable attend_cached(const Variable& x, const LayerNorm& norm,
                         const AttentionInput& input) const;
  Linear query_, key_, value_, output_;
  ops::LinearMap query_key_value_, key_value_;
  int64_t heads_;
  double dropout_;
  std::optional<RelativeTable> relative_;
};

/// ALiBi's slope of each head (Press et al. 2022), (H) f32: 2^(-8h/H) for a power of two; for other
/// H those of the largest power of two P below, then every second one of the sequence for 2P.
Tensor alibi_slopes(int64_t heads, Device device);

}  // namespace ssa::nn
