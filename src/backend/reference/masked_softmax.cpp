#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/reference/elements.h"
#include "backend/reference/reference_backend.h"

namespace ssa {

using reference::get;
using reference::set;

namespace {

/// Turns logits into weights; zeros if all are -inf.
void softmax(std::vector<double>& row) {
  const double highest = *std::max_element(row.begin(), row.end());
  double total = 0;
  for (double& element : row) {
    element =
        highest == -std::numeric_limits<double>::infinity() ? 0.0 : std::exp(element - highest);
    total += element;
  }
  for (double& element : row) element = total == 0 ? 0.0 : element / total;
}

template <class T>
void forward(const MaskedSoftmaxArgs& args) {
  const PlanTensors& plan = args.plan;
  const int64_t heads = args.logits.dim(1), width = plan.sources_per_window();
  const int64_t per_head = plan.windows() * plan.targets_per_window();
  const auto *targets = plan.targets.data<int32_t>(), *sources = plan.sources.data<int32_t>();
  Tensor out = args.out;
  const T* x = args.logits.data<T>();
  T* y = out.data<T>();
  std::vector<double> row(static_cast<size_t>(width));
  for (int64_t r = 0; r < args.logits.dim(0) * heads * per_head; ++r, x += width, y += width) {
    const int64_t i = targets[r % per_head], h = r / per_head % heads;
    const int32_t* of_window = sources + r % per_head / plan.targets_per_window() * width;
    const double slope = args.alibi_slopes.defined() ? args.alibi_slopes.data<float>()[h] : 0.0;
    for (int64_t s = 0; s < width; ++s) {
      const int64_t j = of_window[s];
      row[static_cast<size_t>(s)] =
          args.causal && j > i ? -std::numeric_limits<double>::infinity()
                               : args.scale * get(x[s]) - slope * static_cast<double>(i - j);
    }
    softmax(row);
    for (int64_t s = 0; s < width; ++s) set(y[s], row[static_cast<size_t>(s)]);
  }
}

}  // namespace

void ReferenceBackend::masked_softmax(const MaskedSoftmaxArgs& args) {
  visit_floating(args.logits.dtype(), [&]<class T>(TypeTag<T>) { forward<T>(args); });
}

void ReferenceBackend::masked_softmax_backward(const Tensor& weights, double scale,
                                               const Tensor& grad_weights, Tensor& grad_logits) {
  const int64_t width = weights.dim(4);
  visit_floating(weights.dtype(), [&]<class T>(TypeTag<T>) {
    const T *p = weights.data<T>(), *dp = grad_weights.data<T>();
    T* dx = grad_logits.data<T>();
    for (int64_t first = 0; first < weights.numel(); first += width) {
      double mean = 0;
      for (int64_t s = first; s < first + width; ++s) mean += get(p[s]) * get(dp[s]);
      for (int64_t s = first; s < first + width; ++s) {
        set(dx[s], scale * get(p[s]) * (get(dp[s]) - mean));
      }
    }
  });
}

}  // namespace ssa
