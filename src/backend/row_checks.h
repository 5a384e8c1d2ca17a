#pragma once

// Argument checks of primitives on the rows of a matrix, shared by backends that compute in low
// precision: layer norm, embedding, cross-entropy, and the softmax of stored logits. Ids, targets
// and labels are not looked at.

#include "ssa/backend/backend.h"

#include "backend/checks.h"

namespace ssa::checks {

// ---- layer norm --------------------------------------------------------------------------------

inline void require_layer_norm(const Op& op, const Tensor& in, const Tensor& gain,
                               const Tensor& shift, const Tensor& out, const Tensor& mean,
                               const Tensor& rstd) {
  require_rank(op, {"in", in}, 2);
  const int64_t rows = in.dim(0), columns = in.dim(1);
  require_data(op, {{"in", in}, {"out", out}});
  require_packed(op, {"gain", gain}, DType::f32, {columns});
  require_packed(op, {"shift", shift}, DType::f32, {columns});
  require_packed(op, {"mean", mean}, DType::f32, {rows});
  require_packed(op, {"rstd", rstd}, DType::f32, {rows});
}

inline void require_layer_norm_gradients(const Op& op, const LayerNormBackwardArgs& args) {
  require_rank(op, {"in", args.in}, 2);
  const int64_t rows = args.in.dim(0), columns = args.in.dim(1);
  require_data(op, {{"in", args.in}, {"grad_out", args.grad_out}, {"grad_in", args.grad_in}});
  require_packed(op, {"gain", args.gain}, DType::f32, {columns});
  require_packed(op, {"grad_gain", args.grad_gain}, DType::f32, {columns});
  require_packed(op, {"grad_shift", args.grad_shift}, DType::f32, {columns});
  require_packed(op, {"mean", args.mean}, DType::f32, {rows});
  require_packed(op, {"rstd", args.rstd}, DType::f32, {rows});
  if (!args.out.defined()) return;
  require_data(op, {{"in", args.in}, {"out", args.out}});
  require_packed(op, {"shift", args.shift}, DType::f32, {columns});
}

// ---- embedding ---------------------------------------------------------------------------------

/// A table (V, N) f32 and rows (R, N) of data: the outputs, or their gradients.
inline void require_embedding(const Op& op, const Named& table, const Named& rows) {
  require_rank(op, table, 2);
  require_rank(op, rows, 2);
  require_packed(op, table, DType::f32, table.tensor.shape());
  require_data_dtype(op, rows);
  require_packed(op, rows, rows.tensor.dtype(), {rows.tensor.dim(0), table.tensor.dim(1)});
}

// ---- cross-entropy -----------------------------------------------------------------------------

inline void require_losses(const Op& op, const Tensor& logits, const Tensor& loss,
                           const Tensor& lse) {
  require_rank(op, {"logits", logits}, 2);
  const int64_t rows = logits.dim(0);
  require_data(op, {{"logits", logits}});
  require_packed(op, {"loss", loss}, DType::f32, {rows});
  require_packed(op, {"lse", lse}, DType::f32, {rows});
  SSA_CHECK(rows == 0 || logits.dim(1) > 0, "{}: logits have no columns", op.name);
}

inline void require_loss_gradients(const Op& op, const Tensor& logits, const Tensor& lse,
                                   const Tensor& grad_loss, const Tensor& grad_logits) {
  require_rank(op, {"logits", logits}, 2);
  const int64_t rows = logits.dim(0);
  require_data(op, {{"logits", logits}, {"grad_logits", grad_logits}});
  require_packed(op, {"lse", lse}, DType::f32, {rows});
  require_packed(op, {"grad_loss", grad_loss}, DType::f32, {rows});
}

/// Labels and weights of one shape, for this many rows of logits.
inline void require_soft_targets(const Op& op, const SoftTargets& targets, int64_t rows) {
  require_rank(op, {"labels", targets.labels}, 2);
  const Shape shape{rows, targets.labels.dim(1)};
  require_packed(op, {"labels", targets.labels}, DType::i32, shape);
  require_packed(op, {"weights", targets.weights}, DType::f32, shape);
  SSA_CHECK(targets.smoothing >= 0 && targets.smoothing <= 1, "{}: smoothing {} is outside [0, 1]",
            op.name, targets.smoothing);
}

// ---- masked softmax ----------------------------------------------------------------------------

inline void require_masked_softmax(const Op& op, const MaskedSoftmaxArgs& args) {
  const PlanTensors& plan = args.plan;
  require_rank(op, {"logits", args.logits}, 5);
  const Shape& shape = args.logits.shape();
  require_packed(op, {"plan.targets", plan.targets}, DType::i32, {shape[2], shape[3]});
  require_packed(op, {"plan.sources", plan.sources}, DType::i32, {shape[2], shape[4]});
  require_data(op, {{"logits", args.logits}, {"out", args.out}});
  if (args.alibi_slopes.defined()) {
    require_packed(op, {"alibi_slopes", args.alibi_slopes}, DType::f32, {shape[1]});
  }
}

inline void require_masked_softmax_gradients(const Op& op, const Tensor& weights,
                                             const Tensor& grad_weights,
                                             const Tensor& grad_logits) {
  require_rank(op, {"weights", weights}, 5);
  require_data(
      op, {{"weights", weights}, {"grad_weights", grad_weights}, {"grad_logits", grad_logits}});
}

}  // namespace ssa::checks
