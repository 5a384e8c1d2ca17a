// The output layer and its loss in one op. It computes logits for a chunk of rows at a time, and
// again in backward, so that the logits of all rows never exist at once.

#include <algorithm>

#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

namespace {

void check_operands(const Tensor& x, const PackedWeights& weights, const Tensor& targets) {
  constexpr const char* kOp = "linear_cross_entropy";
  check_rank(kOp, "x", x, 2);
  for (const Variable& weight : weights.parts()) {
    check_rank(kOp, "the weight", weight.value(), 2);
    check_parameter(kOp, "the weight", weight.value(), x);
    check_shape(kOp, "the weight", weight.value(), {weight.dim(0), x.dim(1)});
  }
  check_shape(kOp, "targets", targets, {x.dim(0)});
  check_integers(kOp, "targets", targets);
}

/// Rows per chunk: their logits fit into `bytes`, or there are 32. A multiple of 32, which suits
/// bf16 products, and nearly equal for all chunks.
int64_t rows_per_chunk(int64_t rows, int64_t columns, DType logits, int64_t bytes) {
  constexpr int64_t kUnit = 32;
  const int64_t row_bytes = columns * static_cast<int64_t>(size_of(logits));
  const int64_t fit = std::max(kUnit, bytes / row_bytes / kUnit * kUnit);
  const int64_t chunks = (rows + fit - 1) / fit;
  return (rows + chunks * kUnit - 1) / (chunks * kUnit) * kUnit;
}

/// The output layer and its loss over the rows of a batch, a chunk of rows at a time.
class ChunkedLoss {
 public:
  ChunkedLoss(const Tensor& x, PackedWeights weights, const Tensor& targets, int64_t logits_bytes)
      : x_(x), weights_(std::move(weights)), targets_(targets) {
    const DType statistics = wide(x.dtype());
    lse_ = Tensor::empty({x.dim(0)}, statistics, x.device());
    chunk_ = rows_per_chunk(x.dim(0), weights_.out(), statistics, logits_bytes);
  }

  /// Returns the losses (R), and keeps the log-sum-exps.
  Tensor forward() {
    Tensor losses = Tensor::empty_like(lse_);
    for_chunks([&](int64_t first, int64_t rows, Tensor& logits) {
      Tensor loss = losses.slice(0, first, rows), lse = lse_.slice(0, first, rows);
      compute().cross_entropy(logits, targets_.slice(0, first, rows), loss, lse);
    });
    return losses;
  }

  void backward(const Tensor& grad_loss, const GradSlot& to_x,
                const std::vector<GradSlot>& to_weights) const {
    const DType data = x_.dtype();
    Tensor narrow;  // the gradient of a chunk of logits in the dtype of products
    if (data != lse_.dtype()) narrow = workspace(data);
    const GradSlot::Target grad_x = to_x.wanted() ? to_x.target() : GradSlot::Target{};
    const auto plain = to_x.wanted() ? weights_.plain(data) : nullptr;  // one copy for all chunks
    for_chunks([&](int64_t first, int64_t rows, Tensor& logits) {
      compute().cross_entropy_backward(logits, targets_.slice(0, first, rows),
                                       lse_.slice(0, first, rows), grad_loss.slice(0, first, rows),
                                       logits);
      Tensor grad = logits;
      if (narrow.defined()) {
        grad = narrow.slice(0, 0, rows);
        compute().copy(logits, grad);
      }
      if (to_x.wanted()) {
        compute().matmul({.a = grad,
                          .packed_b = plain,
                          .out = grad_x.tensor.slice(0, first, rows),
                          .accumulate = grad_x.accumulate});
      }
      add_to_weights(grad, x_.slice(0, first, rows), to_weights);
    });
  }

 private:
  Backend& compute() const { return backend(x_.device()); }

  Tensor workspace(DType dtype) const {
    return Tensor::empty({std::min(chunk_, x_.dim(0)), weights_.out()}, dtype, x_.device(),
                         MemoryCategory::workspace);
  }

  /// Calls function(first row, rows, their logits) for each chunk, in order.
  template <class F>
  void for_chunks(const F& function) const {
    const Tensor buffer = workspace(lse_.dtype());
    const auto transposed = weights_.transposed(x_.dtype());
    for (int64_t first = 0; first < x_.dim(0); first += chunk_) {
      const int64_t rows = std::min(chunk_, x_.dim(0) - first);
      Tensor logits = buffer.slice(0, 0, rows);
      compute().matmul({.a = x_.slice(0, first, rows), .packed_b = transposed, .out = logits});
      function(first, rows, logits);
    }
  }

  /// dW += dYᵀ · X, in f32, each weight from its own columns.
  void add_to_weights(const Tensor& grad, const Tensor& x,
                      const std::vector<GradSlot>& to_weights) const {
    int64_t first = 0;
    for (size_t i = 0; i < to_weights.size(); ++i) {
      const int64_t columns = weights_.parts()[i].dim(0);
      if (to_weights[i].wanted()) {
        const auto [target, accumulate] = to_weights[i].target();
        compute().matmul({.a = grad.slice(1, first, columns),
                          .b = x,
                          .transpose_a = true,
                          .out = target,
                          .accumulate = accumulate});
      }
      first += columns;
    }
  }

  Tensor x_;
  PackedWeights weights_;
  Tensor targets_, lse_;
  int64_t chunk_;
};

}  // namespace

Variable linear_cross_entropy(const Variable& x, const PackedWeights& weights,
                              const Tensor& targets, int64_t logits_bytes) {
  check_operands(x.value(), weights, targets);
  ChunkedLoss layer(x.value(), weights, targets, logits_bytes);
  Tensor losses = layer.forward();
  std::vector<Variable> inputs = {x};
  std::vector<GradSlot> to_weights;
  for (const Variable& weight : weights.parts()) {
    inputs.push_back(weight);
    to_weights.push_back(weight.slot());
  }
  return Variable::record(
      losses, inputs, [layer = std::move(layer), to_x = x.slot(), to_weights](const Tensor& grad) {
        layer.backward(grad, to_x, to_weights);
      });
}

}  // namespace ssa::ops
