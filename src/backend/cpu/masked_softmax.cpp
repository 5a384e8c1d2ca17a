// The softmax of attention on stored logits.

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/thread_scratch.h"
#include "backend/row_checks.h"

namespace ssa {

using cpu::parallel_parts;
using cpu::rows_per_part;
using cpu::visit_data;

void CpuBackend::masked_softmax(const MaskedSoftmaxArgs& args) {
  checks::require_masked_softmax("masked_softmax", args);
  const int64_t heads = args.logits.dim(1), columns = args.logits.dim(4);
  const int64_t per_window = args.logits.dim(3), per_head = args.logits.dim(2) * per_window;
  if (args.logits.numel() == 0) return;
  const auto* targets = args.plan.targets.data<int32_t>();
  const auto* sources = args.plan.sources.data<int32_t>();
  const float* slopes = args.alibi_slopes.defined() ? args.alibi_slopes.data<float>() : nullptr;
  const cpu::ThreadScratch scratch((columns + cpu::kMostLanes) * int64_t{sizeof(float)});
  Tensor out = args.out;
  visit_data(args.logits.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T* x = args.logits.data<T>();
    T* y = out.data<T>();
    parallel_parts(
        args.logits.numel() / columns, rows_per_part(columns), [&](int64_t row, int64_t n) {
          for (const int64_t end = row + n; row < end; ++row) {
            const int64_t target = row % per_head;
            const cpu::MaskedRow masked{.target = targets[target],
                                        .sources = sources + target / per_window * columns,
                                        .scale = static_cast<float>(args.scale),
                                        .slope = slopes ? slopes[row / per_head % heads] : 0.0f,
                                        .causal = args.causal};
            on_data.masked_softmax(masked, x + row * columns, y + row * columns, columns,
                                   static_cast<float*>(scratch.of_thread()));
          }
        });
  });
}

void CpuBackend::masked_softmax_backward(const Tensor& weights, double scale,
                                         const Tensor& grad_weights, Tensor& grad_logits) {
  checks::require_masked_softmax_gradients("masked_softmax_backward", weights, grad_weights,
                                           grad_logits);
  const int64_t columns = weights.dim(4);
  if (weights.numel() == 0) return;
  visit_data(weights.dtype(), [&]<class T>(TypeTag<T>, const auto& on_data) {
    const T *p = weights.data<T>(), *dp = grad_weights.data<T>();
    T* dx = grad_logits.data<T>();
    parallel_parts(weights.numel() / columns, rows_per_part(columns), [&](int64_t row, int64_t n) {
      for (const int64_t end = row + n; row < end; ++row) {
        on_data.masked_softmax_backward(p + row * columns, static_cast<float>(scale),
                                        dp + row * columns, dx + row * columns, columns);
      }
    });
  });
}

}  // namespace ssa
