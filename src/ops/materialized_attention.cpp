// Attention that stores its weights, as it was done before fused kernels: matrix products, a
// softmax over all of the stored logits, dropout, matrix products. Windows are gathered first.

#include "ops/head_ranges.h"

namespace ssa::ops {

namespace {

/// One call of attention, with the tensors it works on cut into what matmul takes. "Rows" are
/// (B, R, H·D), contiguous; "matrices" are (B, H, W, T, S).
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
  /// Zeros for as many rows as `heads` (B, R, H, D) has.
  Tensor new_rows(const Tensor& heads) const {
    return Tensor::zeros({batch_, heads.dim(1), heads_ * size_}, heads.dtype(), heads.device());
  }
  Tensor rows_of(const Tensor& heads) const {
    const Shape shape{batch_, heads.dim(1), heads_ * size_};
    if (heads.is_contiguous()) return heads.view(shape);
    Tensor packed = Tensor::empty(heads.shape(), heads.dtype(), heads.device());
    compute_.copy(heads, packed);
    return packed.view(shape);
  }
  /// The way back: rows into (B, R, H, D).
  void write(const Tensor& rows, Tensor heads) const {
    compute_.copy(rows.view(heads.shape()), heads);
  }

  /// matrices[b][h][w] = left · rightᵀ, of each window's targets in `left` and sources in `right`.
  void scores(const Tensor& left, const Tensor& right, const Tensor& matrices) const {
    for (int64_t w = 0; w < windows_; ++w) {
      const Tensor l = targets_of(left, w), r = sources_of(right, w);
      for_each_head([&](int64_t b, int64_t h) {
        compute_.matmul({.a = head(l, b, h),
                         .b = head(r, b, h),
                         .transpose_b = true,
                         .out = matrix(matrices, b, h, w)});
      });
    }
  }
  /// out[targets] += matrices · rows[sources]
  void mix(const Tensor& matrices, const Tensor& rows, Tensor& out) const {
    for (int64_t w = 0; w < windows_; ++w) {
      const Tensor sources = sources_of(rows, w);
      const Tensor mixed = multiply(matrices, false, sources, w);
      compute_.gather_rows_backward(places(args_.plan.targets, w), mixed, out);
    }
  }
  /// out[sources] += matricesᵀ · rows[targets]
  void mix_back(const Tensor& matrices, const Tensor& rows, Tensor& out) const {
    for (int64_t w = 0; w < windows_; ++w) {
      const Tensor mixed = multiply(matrices, true, targets_of(rows, w), w);
      if (args_.compact_sources) {
        compute_.add(mixed, out, out);
      } else {
        compute_.gather_rows_backward(places(args_.plan.sources, w), mixed, out);
      }
    }
  }

 private:
  template <class F>
  void for_each_head(const F& f) const {
    for (int64_t b = 0; b < batch_; ++b) {
      for (int64_t h = 0; h < heads_; ++h) f(b, h);
    }
  }
  static Tensor places(const Tensor& of_windows, int64_t w) {
    return of_windows.slice(0, w, 1).view({of_windows.dim(1)});
  }
  Tensor gathered(const Tensor& rows, const Tensor& at) const {
    Tensor out = Tensor::empty({batch_, at.dim(0), rows.dim(2)}, rows.dtype(), rows.device());
    compute_.gather_rows(rows, at, out);
    return out;
  }
  Tensor targets_of(const Tensor& rows, int64_t w) const {
    return gathered(rows, places(args_.plan.targets, w));
  }
  Tensor sources_of(const Tensor& rows, int64_t w) const {
    return args_.compact_sources ? rows : gathered(rows, places(args_.plan.sources, w));
  }
  /// (R, D) of (B, R, H·D), its rows strided.
  Tensor head(const Tensor& rows, int64_t b, int64_t h) const {
    const int64_t count = rows.dim(1);
    return rows.view({batch_ * count, heads_ * size_})
        .slice(0, b * count, count)
        .slice(1, h * size_, size_);
  }
  /// (T, S)
  Tensor matrix(const Tensor& matrices, int64_t b, int64_t h, int64_t w) const {
    const int64_t targets = matrices.dim(3), sources = matrices.dim(4);
    return matrices.view({matrices.numel() / sources, sources})
        .slice(0, ((b * heads_ + h) * windows_ + w) * targets, targets);
  }
  /// op(matrices[b][h][w]) · rows, as rows.
  Tensor multiply(const Tensor& matrices, bool transpose, const Tensor& rows, int64_t w) const {
    const int64_t count = matrices.dim(transpose ? 4 : 3);
    const Tensor all = Tensor::empty({batch_, count, heads_ * size_}, rows.dtype(), rows.device());
    const Tensor one = Tensor::empty({count, size_}, rows.dtype(), rows.device());
    for_each_head([&](int64_t b, int64_t h) {
      compute_.matmul({.a = matrix(matrices, b, h, w),
                       .b = head(rows, b, h),
                       .transpose_a = transpose,
                       .out = one});
      Tensor to = head(all, b, h);
      compute_.copy(one, to);
    });
    return all;
  }

  const AttentionArgs& args_;
  Backend& compute_;
  int64_t batch_, heads_, size_, windows_;
};

/// The logits of all heads, and in their place the weights.
Tensor softmax_weights(const AttentionArgs& args) {
  const WindowedProducts products(args);
  MaskedSoftmaxArgs softmax;
  softmax.logits = products.new_matrices();
  products.scores(products.rows_of(args.query), products.rows_of(args.key), softmax.logits);
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
    const Tensor grad_rows = products.rows_of(grad);
    Tensor grad_value = products.new_rows(args.value);
    products.mix_back(dropped, grad_rows, grad_value);
    products.write(grad_value, gradients.part(2));
    products.scores(grad_rows, products.rows_of(args.value), grad_logits);
  }
  if (args.dropout.active()) compute.dropout(args.dropout, grad_logits, Tensor(), grad_logits);
  compute.masked_softmax_backward(weights, args.scale, grad_logits, grad_logits);
  Tensor grad_query = products.new_rows(args.query), grad_key = products.new_rows(args.key);
  products.mix(grad_logits, products.rows_of(args.key), grad_query);
  products.write(grad_query, gradients.part(0));
  products.mix_back(grad_logits, products.rows_of(args.query), grad_key);
  products.write(grad_key, gradients.part(1));
}

}  // namespace

Variable materialized_attention(const AttentionArgs& args, const AttentionSlots& slots,
                                const std::vector<Variable>& inputs) {
  const WindowedProducts products(args);
  const Tensor weights = softmax_weights(args), dropped = dropped_out(args.dropout, weights);
  Tensor out = products.new_rows(args.query);
  products.mix(dropped, products.rows_of(args.value), out);
  return Variable::record(out.view(args.query.shape()), inputs,
                          [args, slots, weights, dropped](const Tensor& grad) {
                            const RangeGradients gradients(slots, args.query);
                            backward(args, weights, dropped, grad, gradients);
                            gradients.pass_on();
                          });
}

}  // namespace ssa::ops
