// Attention that stores its weights, as before fused kernels: matrix products, a softmax of the
// stored logits, dropout, matrix products. Products read heads in place. The rows of all windows
// are gathered at once.

#include "ssa/ops/attention_observer.h"

#include "ops/head_ranges.h"

namespace ssa::ops {

namespace {

/// One attention call as batched products, one per window. "Rows" are contiguous (B, W·R, H·D): R
/// rows of window 0, R rows of window 1, …. "Matrices" are (B, H, W, T, S).
class WindowedProducts {
 public:
  explicit WindowedProducts(const AttentionArgs& args)
      : args_(args),
        compute_(backend(args.query.device())),
        batch_(args.query.dim(0)),
        heads_(args.query.dim(2)),
        size_(args.query.dim(3)),
        windows_(args.plan.windows()) {}

  Tensor new_matrices() const {
    return Tensor::empty({batch_, heads_, windows_, args_.plan.targets_per_window(),
                          args_.plan.sources_per_window()},
                         args_.query.dtype(), args_.query.device());
  }
  /// The rows of every window's targets, from a tensor (B, N, H, D).
  Tensor targets_of(const Tensor& heads) const { return gathered(heads, args_.plan.targets); }
  /// The rows of every window's sources. Compact sources are already in this order.
  Tensor sources_of(const Tensor& heads) const {
    return args_.compact_sources ? joined(heads) : gathered(heads, args_.plan.sources);
  }

  /// matrices[b][h][w] = left · rightᵀ, of each window's targets in `left` and sources in `right`.
  void scores(const Tensor& left, const Tensor& right, const Tensor& matrices) const {
    for (int64_t w = 0; w < windows_; ++w) {
      compute_.batched_matmul({.a = heads_in(left, w),
                               .b = heads_in(right, w),
                               .transpose_b = true,
                               .out = window_of(matrices, w)});
    }
  }
  /// out[targets] = matrices · rows[sources]; `out` is (B, N, H, D).
  void mix(const Tensor& matrices, const Tensor& sources, Tensor out) const {
    multiply_and_scatter(matrices, false, sources, args_.plan.targets, out);
  }
  /// out[sources] = matricesᵀ · rows[targets], summed over the windows that share a source.
  void mix_back(const Tensor& matrices, const Tensor& targets, Tensor out) const {
    multiply_and_scatter(matrices, true, targets, args_.plan.sources, out);
  }

 private:
  /// (B, R, H·D) of (B, R, H, D).
  Tensor joined(const Tensor& heads) const {
    const Shape shape{batch_, heads.dim(1), heads_ * size_};
    if (heads.is_contiguous()) return heads.view(shape);
    Tensor packed = Tensor::empty(heads.shape(), heads.dtype(), heads.device());
    compute_.copy(heads, packed);
    return packed.view(shape);
  }
  Tensor gathered(const Tensor& heads, const Tensor& places) const {
    const Tensor flat = places.view({places.numel()});
    Tensor out =
        Tensor::empty({batch_, flat.dim(0), heads_ * size_}, heads.dtype(), heads.device());
    compute_.gather_rows(joined(heads), flat, out);
    return out;
  }
  /// A view of the heads of one window's rows: (B, H, R, D).
  Tensor heads_in(const Tensor& rows, int64_t w) const {
    const int64_t count = rows.dim(1) / windows_;
    const Tensor heads = rows.view({batch_, rows.dim(1), heads_, size_});
    return heads.slice(1, w * count, count).transpose(1, 2);
  }
  /// (B, H, T, S)
  Tensor window_of(const Tensor& matrices, int64_t w) const {
    const int64_t targets = matrices.dim(3), sources = matrices.dim(4);
    return matrices.view({batch_, heads_, windows_ * targets, sources})
        .slice(2, w * targets, targets);
  }
  /// out = 0, then out[places[w]] += op(matrices[w]) · rows[w] for each window w.
  void multiply_and_scatter(const Tensor& matrices, bool transpose, const Tensor& rows,
                            const Tensor& places, Tensor& out) const {
    const int64_t count = places.dim(1), width = heads_ * size_;
    const bool in_order = transpose && args_.compact_sources;  // one window
    const Tensor product =
        Tensor::empty({batch_, count, heads_, size_}, rows.dtype(), rows.device());
    Tensor sums;
    if (!in_order) {
      sums = Tensor::zeros({batch_, out.dim(1), width}, rows.dtype(), rows.device());
    }
    for (int64_t w = 0; w < windows_; ++w) {
      compute_.batched_matmul({.a = window_of(matrices, w),
                               .b = heads_in(rows, w),
                               .transpose_a = transpose,
                               .out = product.transpose(1, 2)});
      if (in_order) break;
      compute_.gather_rows_backward(places.slice(0, w, 1).view({count}),
                                    product.view({batch_, count, width}), sums);
    }
    compute_.copy(in_order ? product : sums.view(out.shape()), out);
  }

  const AttentionArgs& args_;
  Backend& compute_;
  int64_t batch_, heads_, size_, windows_;
};

/// Computes the logits of all heads, and overwrites them with the weights.
Tensor softmax_weights(const AttentionArgs& args) {
  const WindowedProducts products(args);
  MaskedSoftmaxArgs softmax;
  softmax.logits = products.new_matrices();
  products.scores(products.targets_of(args.query), products.sources_of(args.key), softmax.logits);
  softmax.plan = args.plan;
  softmax.scale = args.scale;
  softmax.causal = args.causal;
  softmax.alibi_slopes = args.alibi_slopes;
  softmax.out = softmax.logits;
  backend(args.query.device()).masked_softmax(softmax);
  return softmax.out;
}

Tensor dropped_out(const Dropout& dropout, const Tensor& weights) {
  if (!dropout.active()) return weights;
  Tensor dropped = Tensor::empty_like(weights);
  backend(weights.device()).dropout(dropout, weights, Tensor(), dropped);
  return dropped;
}

// `dropped` are the weights after dropout, which multiplied the values.
void backward(const AttentionArgs& args, const Tensor& weights, const Tensor& dropped,
              const Tensor& grad, const RangeGradients& gradients) {
  const WindowedProducts products(args);
  Backend& compute = backend(grad.device());
  Tensor grad_logits = products.new_matrices();
  {
    const Tensor grad_rows = products.targets_of(grad);
    products.mix_back(dropped, grad_rows, gradients.part(2));
    products.scores(grad_rows, products.sources_of(args.value), grad_logits);
  }
  if (args.dropout.active()) compute.dropout(args.dropout, grad_logits, Tensor(), grad_logits);
  compute.masked_softmax_backward(weights, args.scale, grad_logits, grad_logits);
  products.mix(grad_logits, products.sources_of(args.key), gradients.part(0));
  products.mix_back(grad_logits, products.targets_of(args.query), gradients.part(1));
}

}  // namespace

Variable materialized_attention(const AttentionArgs& args, const AttentionSlots& slots,
                                const std::vector<Variable>& inputs) {
  SSA_CHECK(args.dropout.group == 1,
            "attention: softmax weights are dropped one by one, not in groups of {}",
            args.dropout.group);
  const WindowedProducts products(args);
  const Tensor weights = softmax_weights(args), dropped = dropped_out(args.dropout, weights);
  AttentionObserver::hand_out(weights);
  const Tensor out = Tensor::empty(args.query.shape(), args.query.dtype(), args.query.device());
  products.mix(dropped, products.sources_of(args.value), out);
  return Variable::record(out, inputs, [args, slots, weights, dropped](const Tensor& grad) {
    const RangeGradients gradients(slots, args.query);
    backward(args, weights, dropped, grad, gradients);
    gradients.pass_on();
  });
}

}  // namespace ssa::ops
