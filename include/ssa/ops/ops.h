#pragma once

#include <vector>

#include "ssa/autograd/variable.h"
#include "ssa/backend/backend.h"
#include "ssa/ops/packed_weights.h"

namespace ssa::ops {

// Differentiable operations. Each has a source file of its name, with shape check, forward and
// backward side by side. The backward lambda captures what backward needs. All throw ShapeError,
// naming the op and both shapes, if shapes, dtypes or devices do not fit.
//
// Activations may be narrower than parameters (backend.h, "Mixed precision"): parameters and their
// gradients are wide(dtype of the activations).

/// a + b, equal shapes.
Variable add(const Variable& a, const Variable& b);
/// factor · x
Variable scale(const Variable& x, double factor);
/// The same elements in another shape.
Variable reshape(const Variable& x, const Shape& shape);
Variable activation(Activation kind, const Variable& x);
/// dropout(x) + residual; residual is optional. Returns x itself if nothing is dropped or added.
Variable dropout(const Variable& x, const Dropout& dropout, const Variable& residual = {});
/// Over the last axis of x (R, N); gain, shift (N).
Variable layer_norm(const Variable& x, const Variable& gain, const Variable& shift, double eps);
/// factor · table[ids] in dtype `data`: table (V, N) wide(data), ids (R) i32 → (R, N)
Variable embedding(const Variable& table, const Tensor& ids, double factor, DType data);
/// x (B·N, width) of B sequences → (B·S, width): the positions `rows` (S) i32 of each, distinct.
Variable gather_rows(const Variable& x, int64_t batch, const Tensor& rows);
/// Negative log-likelihood in nats of each row: logits (R, V), targets (R) i32 → (R) wide(dtype);
/// 0 where the target is -1.
Variable cross_entropy(const Variable& logits, const Tensor& targets);

/// y = x·Wᵀ + b. Several weights give a wider y, with their results side by side.
struct LinearMap {
  PackedWeights weights;
  std::vector<Variable> biases;  ///< none, or one per weight, (out_i)

  LinearMap() = default;
  LinearMap(PackedWeights stacked, std::vector<Variable> stacked_biases)
      : weights(std::move(stacked)), biases(std::move(stacked_biases)) {}
  /// One weight (out, in); the bias may be undefined.
  LinearMap(const Variable& weight, const Variable& bias) : weights({weight}) {
    if (bias.defined()) biases.push_back(bias);
  }
};
/// x (R, in) → x·Wᵀ + b + residual (R, out), in the dtype of x; residual (R, out) is optional.
Variable linear(const Variable& x, const LinearMap& map, const Variable& residual = {});
/// Like linear(), with the result in wide(dtype of x): for logits.
Variable wide_linear(const Variable& x, const LinearMap& map);
/// An activation of a result. Some backends compute its values together with the result.
struct Activated {
  Activation kind;
  Tensor values{};                              ///< undefined: not computed yet
  Activated(Activation which) : kind(which) {}  // NOLINT: values come later
};
/// linear(layer_norm(x, gain, shift, eps), map). Keeps x, not the normalised rows: backward
/// recomputes them together with the norm's gradient. If `activated` is given, the backend may
/// write the activation of the result to it.
Variable norm_linear(const Variable& x, const Variable& gain, const Variable& shift, double eps,
                     const LinearMap& map, Activated* activated = nullptr);
/// linear(dropout(f(x)), map, residual). Overwrites f's values. Keeps only x: backward recomputes
/// the activation together with its gradient.
Variable activation_linear(const Activated& f, const Variable& x, const Dropout& dropout,
                           const LinearMap& map, const Variable& residual = {});

/// x (R, out) → x·W (R, in) for one weight (out, in): the transpose of a linear map.
Variable transposed_linear(const Variable& x, const PackedWeights& weight);

/// Bytes of the logits that linear_cross_entropy() holds at a time.
inline constexpr int64_t kLogitsBytes = int64_t{32} << 20;
/// cross_entropy(x·Wᵀ, targets) for x (R, in), weights stacked to (V, in), targets (R) i32 → (R)
/// wide(dtype of x). Never holds the logits of all rows: computes them for a chunk of rows at a
/// time, and again in backward. Logits are wide(dtype of x). A chunk's logits take at most
/// `logits_bytes`, or have 32 rows.
Variable linear_cross_entropy(const Variable& x, const PackedWeights& weights,
                              const Tensor& targets, int64_t logits_bytes = kLogitsBytes);

/// The rows of all parts (R_i, N), one part behind the other.
Variable concat_rows(const std::vector<Variable>& parts);

/// Rows (K, N), the first P of which go to the distinct `places` (P) i32, P ≤ K. The others are
/// ignored.
struct RowsAt {
  Variable rows;
  Tensor places;
};
/// base (R, N) with the rows of `parts` added at their places.
Variable scatter_rows(const Variable& base, const std::vector<RowsAt>& parts);

/// Replaces each row of logits (R, V) by the logarithm of its softmax, plus offset[r] if `offset`
/// (R) is defined. Not on the tape.
void log_softmax(Tensor& logits, const Tensor& offset = {});

/// A range of the heads of a tensor (B, N, G, D). Query, key and value that were projected together
/// are three ranges of one tensor.
struct HeadRange {
  Variable tensor;
  int64_t first = 0;
  int64_t count = 0;
  HeadRange(Variable whole);  // NOLINT: a tensor is a range of all its heads
  HeadRange(Variable of, int64_t first_head, int64_t heads);
};
/// A learned 2-D position bias (AttentionArgs::relative_table).
struct RelativeBias {
  Variable table;    ///< ((2·rows - 1)·(2·columns - 1)·(2·channels - 1), H)
  int64_t rows = 0;  ///< pairs at this distance or farther are masked
  int64_t columns = 0;
  int64_t grid_columns = 0;   ///< columns of the grid of positions
  int64_t channels = 1;       ///< grid_channels, or 1: the bias does not tell channels apart
  int64_t grid_channels = 1;  ///< positions in each cell of the grid
};
/// What attention needs besides query, key and value.
struct AttentionOptions {
  PlanTensors plan;
  bool causal = false;
  Tensor alibi_slopes;  ///< (H) f32; optional
  Dropout dropout;
  bool compact_sources = false;  ///< key and value hold the plan's sources only, (B, S, …)
  /// Stores the weights of all targets and sources, (B, H, W, T, S), until backward, as attention
  /// did before fused kernels. It is the baseline for measurements. Dropout draws by the index in
  /// that tensor, which for a dense plan gives the mask of fused attention.
  bool materialized = false;
  RelativeBias relative{};  ///< optional; its table is undefined without one
  Tensor regions{};  ///< (B or 1, N) i32: a target sees sources of its own region only; optional
};
/// Attention over a source plan, logits scaled by 1/√D: query, key, value of H heads
/// → (B, N, H, D). See backend.h for the definition.
Variable attention(const HeadRange& query, const HeadRange& key, const HeadRange& value,
                   const AttentionOptions& options);

/// The graphs of a batch, stored one after the other on the device: their sizes, sampled sources
/// and pair classes. Fields as in GraphAttentionArgs.
struct PackedGraphs {
  Tensor nodes, sampled, sources, pairs, classes;
};
/// What attention inside graphs needs besides query, key and value.
struct GraphAttentionOptions {
  PackedGraphs graphs;
  Variable bias_table;  ///< (C, H)
  Variable gate_table;  ///< (C, H); optional
  int64_t virtual_nodes = 0;
  double logit_clip = 0;
  Dropout dropout;
};
/// Attention inside graphs (EGT), logits scaled by 1/√D: query (R, H, D), key and value (K, H, D)
/// → (R, H, D). See GraphAttentionArgs for the definition.
Variable graph_attention(const Variable& query, const Variable& key, const Variable& value,
                         const GraphAttentionOptions& options);

/// Cross-entropy against soft targets, in nats: logits (R, V) → (R) wide(dtype).
Variable soft_cross_entropy(const Variable& logits, const SoftTargets& targets);
/// |prediction - target|, element by element; prediction and target wide(data), of one shape.
Variable absolute_error(const Variable& prediction, const Tensor& target);
/// Pictures as rows of patches in dtype `data`. Ignores args.out. The result is a constant.
Variable patches(PatchArgs args, DType data);
/// x (B·N, C) of B examples → (B, C), the mean over an example's positions.
Variable mean_positions(const Variable& x, int64_t batch);

}  // namespace ssa::ops
