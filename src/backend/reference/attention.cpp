// Attention over a source plan, one target at a time (method: docs/method.md).

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "backend/attention_checks.h"
#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;

namespace {

/// Reads rows of a (B, N, H, D) tensor whose rows may be strided.
template <class T>
struct Heads {
  T* data;
  int64_t batch_stride, row_stride, head_stride;
  template <class Tensorish>
  explicit Heads(Tensorish& tensor)
      : data(tensor.template data<std::remove_const_t<T>>()),
        batch_stride(tensor.stride(0)),
        row_stride(tensor.stride(1)),
        head_stride(tensor.stride(2)) {}
  T* row(int64_t b, int64_t n, int64_t h) const {
    return data + b * batch_stride + n * row_stride + h * head_stride;
  }
};

template <class T>
double dot(const T* a, const T* b, int64_t size) {
  double total = 0;
  for (int64_t d = 0; d < size; ++d) total += get(a[d]) * get(b[d]);
  return total;
}

void require_supported(const AttentionArgs& args) {
  checks::require_single_elements("attention", args.dropout);
  SSA_CHECK(args.query_start == 0 || !args.dropout.active(),
            "attention: no dropout where queries start at position {}", args.query_start);
  checks::require_regions(args);
}

/// Visits every (sequence, head, target) with the window that the target belongs to.
template <class F>
void for_each_target(const AttentionArgs& args, F&& f) {
  const int32_t* targets = args.plan.targets.data<int32_t>();
  const int32_t* sources = args.plan.sources.data<int32_t>();
  const int64_t per_window = args.plan.targets_per_window();
  for (int64_t b = 0; b < args.query.dim(0); ++b) {
    for (int64_t h = 0; h < args.query.dim(2); ++h) {
      for (int64_t w = 0; w < args.plan.windows(); ++w) {
        for (int64_t t = 0; t < per_window; ++t) {
          f(b, h, int64_t{targets[w * per_window + t]},
            sources + w * args.plan.sources_per_window());
        }
      }
    }
  }
}

/// The row of key and value that holds the s-th source.
struct SourceRows {
  bool compact;
  const int32_t* sources;
  SourceRows(const AttentionArgs& args, const int32_t* of_window)
      : compact(args.compact_sources), sources(of_window) {}
  int64_t operator()(size_t s) const { return compact ? static_cast<int64_t>(s) : sources[s]; }
};

/// Which pairs of positions are visible, and which elements of a learned 2-D bias they have.
class Pairs {
 public:
  explicit Pairs(const AttentionArgs& args)
      : causal_(args.causal),
        heads_(args.query.dim(2)),
        regions_(args.regions.defined() ? args.regions.data<int32_t>() : nullptr),
        region_stride_(regions_ ? region_stride(args) : 0) {
    if (args.relative_table.defined()) grid_.emplace(args);
  }
  bool visible(int64_t b, int64_t i, int64_t j) const {
    if (causal_ && j > i) return false;
    if (grid_ && grid_->entry_of(i, j) < 0) return false;
    const int32_t* region = regions_ + b * region_stride_;
    return regions_ == nullptr || region[i] == region[j];
  }
  /// Of a visible pair.
  int64_t table_element(int64_t h, int64_t i, int64_t j) const {
    return grid_->entry_of(i, j) * heads_ + h;
  }

 private:
  bool causal_;
  int64_t heads_;
  std::optional<PositionGrid> grid_;
  const int32_t* regions_;
  int64_t region_stride_;
};

double relative_bias(const Tensor& table, int64_t element) {
  double bias = 0;
  visit_floating(table.dtype(), [&]<class S>(TypeTag<S>) { bias = get(table.data<S>()[element]); });
  return bias;
}

/// Logits of target i against the window's sources; -inf where masked.
template <class T>
void compute_logits(const AttentionArgs& args, const Pairs& pairs, int64_t b, int64_t h, int64_t i,
                    const int32_t* sources, std::vector<double>& logits) {
  const Heads<const T> query(args.query), key(args.key);
  const int64_t head_size = args.query.dim(3);
  const SourceRows row_of(args, sources);
  const double slope = args.alibi_slopes.defined() ? args.alibi_slopes.data<float>()[h] : 0.0;
  const T* query_row = query.row(b, i - args.query_start, h);
  for (size_t s = 0; s < logits.size(); ++s) {
    const int64_t j = sources[s];
    if (!pairs.visible(b, i, j)) {
      logits[s] = -std::numeric_limits<double>::infinity();
      continue;
    }
    logits[s] = args.scale * dot(query_row, key.row(b, row_of(s), h), head_size) -
                slope * static_cast<double>(i - j);
    if (args.relative_table.defined()) {
      logits[s] += relative_bias(args.relative_table, pairs.table_element(h, i, j));
    }
  }
}

/// 1/(1-p) where the weight of (i, j) is kept, 0 where it is dropped.
double dropout_factor(const AttentionArgs& args, int64_t b, int64_t h, int64_t i, int64_t j) {
  if (!args.dropout.active()) return 1.0;
  const int64_t heads = args.query.dim(2), length = args.query.dim(1);
  const auto element = static_cast<uint64_t>(((b * heads + h) * length + i) * length + j);
  return args.dropout.keeps(element) ? 1.0 / (1.0 - args.dropout.probability) : 0.0;
}

template <class T>
void forward(AttentionArgs& args) {
  const int64_t head_size = args.query.dim(3);
  const auto window = static_cast<size_t>(args.plan.sources_per_window());
  const Heads<const T> value(args.value);
  const Heads<T> out(args.out);
  const Pairs pairs(args);
  std::vector<double> logits(window), result(static_cast<size_t>(head_size));
  for_each_target(args, [&](int64_t b, int64_t h, int64_t i, const int32_t* sources) {
    compute_logits<T>(args, pairs, b, h, i, sources, logits);
    const double highest = *std::max_element(logits.begin(), logits.end());
    const SourceRows row_of(args, sources);
    double total = 0;
    std::fill(result.begin(), result.end(), 0.0);
    if (std::isfinite(highest)) {
      for (const double logit : logits) total += std::exp(logit - highest);
      for (size_t s = 0; s < window; ++s) {
        const double weight =
            std::exp(logits[s] - highest) / total * dropout_factor(args, b, h, i, sources[s]);
        for (int64_t d = 0; d < head_size; ++d) {
          result[static_cast<size_t>(d)] += weight * get(value.row(b, row_of(s), h)[d]);
        }
      }
    }
    for (int64_t d = 0; d < head_size; ++d) {
      set(out.row(b, i - args.query_start, h)[d], result[static_cast<size_t>(d)]);
    }
    visit_floating(args.lse.dtype(), [&]<class S>(TypeTag<S>) {
      const int64_t heads = args.query.dim(2), length = args.query.dim(1);
      set(args.lse.data<S>()[(b * heads + h) * length + i - args.query_start],
          std::isfinite(highest) ? highest + std::log(total)
                                 : -std::numeric_limits<double>::infinity());
    });
  });
}

// With weights p = softmax(logits), kept factors c, and dp_s = c_s · (grad_out · v_s):
//   dlogit_s = p_s · (dp_s - Σ p·dp)
template <class T>
void backward(AttentionBackwardArgs& args) {
  const AttentionArgs& fwd = args.forward;
  const int64_t head_size = fwd.query.dim(3);
  const auto window = static_cast<size_t>(fwd.plan.sources_per_window());
  const Heads<const T> query(fwd.query), key(fwd.key), value(fwd.value), grad_out(args.grad_out);
  // Summed in f64, whatever T is, and rounded once.
  const auto sums_like = [](const Tensor& tensor) {
    return Tensor::zeros(tensor.shape(), DType::f64, Device::reference);
  };
  Tensor query_sums = sums_like(args.grad_query), key_sums = sums_like(args.grad_key),
         value_sums = sums_like(args.grad_value);
  Tensor table_sums;
  if (args.grad_relative_table.defined()) {
    table_sums = sums_like(args.grad_relative_table);
    reference_backend().copy(args.grad_relative_table, table_sums);
  }
  const Pairs pairs(fwd);
  const Heads<double> grad_query(query_sums), grad_key(key_sums), grad_value(value_sums);
  std::vector<double> logits(window), weights(window), grad_weights(window);
  for_each_target(fwd, [&](int64_t b, int64_t h, int64_t i, const int32_t* sources) {
    compute_logits<T>(fwd, pairs, b, h, i, sources, logits);
    const double highest = *std::max_element(logits.begin(), logits.end());
    if (!std::isfinite(highest)) return;  // no visible source: no gradient
    const SourceRows row_of(fwd, sources);
    double total = 0, mean_grad = 0;
    for (const double logit : logits) total += std::exp(logit - highest);
    for (size_t s = 0; s < window; ++s) {
      weights[s] = std::exp(logits[s] - highest) / total;
      grad_weights[s] = dropout_factor(fwd, b, h, i, sources[s]) *
                        dot(grad_out.row(b, i, h), value.row(b, row_of(s), h), head_size);
      mean_grad += weights[s] * grad_weights[s];
    }
    for (size_t s = 0; s < window; ++s) {
      const int64_t row = row_of(s);
      const double grad_biased = weights[s] * (grad_weights[s] - mean_grad);
      const double grad_logit = fwd.scale * grad_biased;
      if (table_sums.defined() && pairs.visible(b, i, sources[s])) {
        table_sums.data<double>()[pairs.table_element(h, i, sources[s])] += grad_biased;
      }
      const double kept = weights[s] * dropout_factor(fwd, b, h, i, sources[s]);
      for (int64_t d = 0; d < head_size; ++d) {
        grad_query.row(b, i, h)[d] += grad_logit * get(key.row(b, row, h)[d]);
        grad_key.row(b, row, h)[d] += grad_logit * get(query.row(b, i, h)[d]);
        grad_value.row(b, row, h)[d] += kept * get(grad_out.row(b, i, h)[d]);
      }
    }
  });
  Backend& compute = reference_backend();
  compute.copy(query_sums, args.grad_query);
  compute.copy(key_sums, args.grad_key);
  compute.copy(value_sums, args.grad_value);
  if (table_sums.defined()) compute.copy(table_sums, args.grad_relative_table);
}

}  // namespace

void ReferenceBackend::attention(AttentionArgs& args) {
  require_supported(args);
  visit_floating(args.query.dtype(), [&]<class T>(TypeTag<T>) { forward<T>(args); });
}

void ReferenceBackend::attention_backward(AttentionBackwardArgs& args) {
  require_supported(args.forward);
  SSA_CHECK(args.forward.query_start == 0, "attention: no gradient where queries start at {}",
            args.forward.query_start);
  SSA_CHECK(args.forward.relative_table.defined() || !args.grad_relative_table.defined(),
            "attention: grad_relative_table without a relative_table");
  visit_floating(args.forward.query.dtype(), [&]<class T>(TypeTag<T>) { backward<T>(args); });
}

}  // namespace ssa
