#pragma once

#include "ssa/autograd/variable.h"
#include "ssa/backend/backend.h"

namespace ssa::ops {

// Differentiable operations. Each has a source file of its name with shape check, forward and
// backward side by side; what backward needs is what its lambda captures. All throw ShapeError,
// naming the op and both shapes, when shapes, dtypes or devices do not fit.

/// a + b, equal shapes.
Variable add(const Variable& a, const Variable& b);
/// factor · x
Variable scale(const Variable& x, double factor);
/// The same elements in another shape.
Variable reshape(const Variable& x, const Shape& shape);
/// x (R, in) · weightᵀ + bias: weight (out, in), bias (out) or undefined → (R, out)
Variable linear(const Variable& x, const Variable& weight, const Variable& bias);
Variable activation(Activation kind, const Variable& x);
/// x itself when the probability is 0.
Variable dropout(const Variable& x, const Dropout& dropout);
/// Over the last axis of x (R, N); gain, shift (N).
Variable layer_norm(const Variable& x, const Variable& gain, const Variable& shift, double eps);
/// factor · table[ids]: table (V, N), ids (R) i32 → (R, N)
Variable embedding(const Variable& table, const Tensor& ids, double factor);
/// Negative log-likelihood in nats of each row: logits (R, V), targets (R) i32 → (R), statistics
/// dtype; 0 where the target is -1.
Variable cross_entropy(const Variable& logits, const Tensor& targets);

/// What attention needs besides query, key and value.
struct AttentionOptions {
  PlanTensors plan;
  bool causal = false;
  Tensor alibi_slopes;  ///< (H) f32; optional
  Dropout dropout;
};
/// Attention over a source plan, logits scaled by 1/√D: query, key, value (B, N, H, D)
/// → (B, N, H, D). See backend.h for the definition.
Variable attention(const Variable& query, const Variable& key, const Variable& value,
                   const AttentionOptions& options);

}  // namespace ssa::ops
