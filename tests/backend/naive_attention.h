#pragma once

#include "backend/attention_cases.h"
#include "backend/position_grid.h"

namespace ssa::testing {

/// Attention step by step, in the low precision of its inputs. Weights, their gradients and those
/// of the logits are rounded; sums within a step are f64. Fused kernels are compared with it.
/// Logits are not rounded: that would be plain bf16, but its large error would hide a kernel's
/// errors.
class NaiveAttention {
 public:
  explicit NaiveAttention(const AttentionInputs& inputs)
      : low_(inputs.args.query.dtype()),
        args_(for_reference(inputs.args)),
        query_(args_.query),
        key_(args_.key),
        value_(args_.value),
        grad_out_(for_reference(inputs.grad_out)),
        out_(reference_zeros(query_.shape())),
        lse_(reference_zeros({query_.dim(0), query_.dim(2), query_.dim(1)})),
        grad_query_(reference_zeros(query_.shape())),
        grad_key_(reference_zeros(key_.shape())),
        grad_value_(reference_zeros(key_.shape())),
        grad_table_(for_reference(inputs.grad_table)) {
    if (args_.relative_table.defined()) grid_.emplace(args_);
  }

  AttentionResults run() {
    for (int64_t b = 0; b < query_.dim(0); ++b) {
      for (int64_t h = 0; h < query_.dim(2); ++h) {
        for (int64_t t = 0; t < query_.dim(1); ++t) run_target(b, h, t);
      }
    }
    for (Tensor* result : {&out_, &grad_query_, &grad_key_, &grad_value_}) {
      for (int64_t i = 0; i < result->numel(); ++i) {
        result->data<double>()[i] = rounded(result->data<double>()[i]);
      }
    }
    AttentionResults results = {{out_, lse_, grad_query_, grad_key_, grad_value_}};
    if (grid_) results.tensors.push_back(grad_table_);
    return results;
  }

 private:
  double rounded(double value) const {
    const auto narrow = static_cast<float>(value);
    return low_ == DType::f16 ? static_cast<double>(Float16(narrow))
                              : static_cast<double>(BFloat16(narrow));
  }
  double* row(Tensor& tensor, int64_t b, int64_t n, int64_t h) const {
    return tensor.data<double>() + ((b * tensor.dim(1) + n) * query_.dim(2) + h) * query_.dim(3);
  }
  double dot(const double* a, const double* b) const {
    double sum = 0;
    for (int64_t d = 0; d < query_.dim(3); ++d) sum += a[d] * b[d];
    return sum;
  }
  void add(double factor, const double* from, double* to) const {
    for (int64_t d = 0; d < query_.dim(3); ++d) to[d] += factor * from[d];
  }
  double kept(int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (!args_.dropout.active()) return 1.0;
    const int64_t length = query_.dim(1);
    const int64_t element = ((b * query_.dim(2) + h) * length + i) * length + j;
    return args_.dropout.keeps(static_cast<uint64_t>(element))
               ? 1.0 / (1.0 - args_.dropout.probability)
               : 0.0;
  }

  /// An element of the learned 2-D bias or its gradient.
  double& element(Tensor& table, int64_t h, int64_t i, int64_t j) const {
    return table.data<double>()[grid_->entry_of(i, j) * query_.dim(2) + h];
  }
  bool masked(int64_t b, int64_t i, int64_t j) const {
    if (args_.causal && j > i) return true;
    if (grid_ && grid_->entry_of(i, j) < 0) return true;
    if (!args_.regions.defined()) return false;
    const int32_t* region =
        args_.regions.data<int32_t>() + (args_.regions.dim(0) > 1 ? b * args_.regions.dim(1) : 0);
    return region[i] != region[j];
  }

  /// The t-th target of the plan, in any window.
  void run_target(int64_t b, int64_t h, int64_t t) {
    const int64_t count = args_.plan.sources_per_window();
    const int64_t window = t / args_.plan.targets_per_window();
    const int64_t i = args_.plan.targets.data<int32_t>()[t];
    const int32_t* sources = args_.plan.sources.data<int32_t>() + window * count;
    const double slope = args_.alibi_slopes.defined() ? args_.alibi_slopes.data<float>()[h] : 0.0;
    const auto source_row = [&](int64_t s) { return args_.compact_sources ? s : sources[s]; };
    std::vector<double> weight(static_cast<size_t>(count)), grad(weight.size());
    double highest = -INFINITY, total = 0, mean = 0;
    for (int64_t s = 0; s < count; ++s) {
      double& logit = weight[static_cast<size_t>(s)];
      logit = args_.scale * dot(row(query_, b, i, h), row(key_, b, source_row(s), h)) -
              slope * static_cast<double>(i - sources[s]);
      if (masked(b, i, sources[s])) {
        logit = -INFINITY;
      } else if (grid_) {
        logit += element(args_.relative_table, h, i, sources[s]);
      }
      highest = std::max(highest, logit);
    }
    if (highest == -INFINITY) {
      lse_.data<double>()[(b * query_.dim(2) + h) * query_.dim(1) + i] = -INFINITY;
      return;
    }
    for (double& logit : weight) total += std::exp(logit - highest);
    lse_.data<double>()[(b * query_.dim(2) + h) * query_.dim(1) + i] = highest + std::log(total);
    for (int64_t s = 0; s < count; ++s) {
      const auto at = static_cast<size_t>(s);
      weight[at] = rounded(std::exp(weight[at] - highest) / total);
      const double* v = row(value_, b, source_row(s), h);
      add(rounded(weight[at] * kept(b, h, i, sources[s])), v, row(out_, b, i, h));
      grad[at] = rounded(rounded(dot(row(grad_out_, b, i, h), v)) * kept(b, h, i, sources[s]));
      mean += weight[at] * grad[at];
    }
    for (int64_t s = 0; s < count; ++s) {
      const auto at = static_cast<size_t>(s);
      const double grad_logit = rounded(weight[at] * (grad[at] - mean));
      if (grid_ && !masked(b, i, sources[s])) {
        element(grad_table_, h, i, sources[s]) += grad_logit;
      }
      const int64_t j = source_row(s);
      add(args_.scale * grad_logit, row(key_, b, j, h), row(grad_query_, b, i, h));
      add(args_.scale * grad_logit, row(query_, b, i, h), row(grad_key_, b, j, h));
      add(rounded(weight[at] * kept(b, h, i, sources[s])), row(grad_out_, b, i, h),
          row(grad_value_, b, j, h));
    }
  }

  const DType low_;
  AttentionArgs args_;
  Tensor query_, key_, value_, grad_out_;
  Tensor out_, lse_, grad_query_, grad_key_, grad_value_, grad_table_;
  std::optional<PositionGrid> grid_;
};

}  // namespace ssa::testing
