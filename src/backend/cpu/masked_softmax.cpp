// The softmax of attention on stored logits.

#include "backend/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/thread_scratch.h"

namespace ssa {

using cpu::parallel_parts;
using cpu::rows_per_part;
using cpu::visit_data;

namespace {

void require_valid(const MaskedSoftmaxArgs& args) {
  constexpr const char* kOp = "masked_softmax";
  const PlanTensors& plan = args.plan;
  checks::require_rank(kOp, {"logits", args.logits}, 5);
  checks::require_rank(kOp, {"plan.targets", plan.targets}, 2);
  checks::require_rank(kOp, {"plan.sources", plan.sources}, 2);
  const Shape& shape = args.logits.shape();
  checks::require_packed(kOp, {"plan.targets", plan.targets}, DType::i32, {shape[2], shape[3]});
  checks::require_packed(kOp, {"plan.sources", plan.sources}, DType::i32, {shape[2], shape[4]});
  checks::require_data(kOp, {{"logits", args.logits}, {"out", args.out}});
  if (args.alibi_slopes.defined()) {
    checks::require_packed(kOp, {"alibi_slopes", args.alibi_slopes}, DType::f32, {shape[1]});
  }
}

}  // namespace

void CpuBackend::masked_softmax(const MaskedSoftmaxArgs& args) {
  require_valid(args);
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
  constexpr const char* kOp = "masked_softmax_backward";
  checks::require_rank(kOp, {"weights", weights}, 5);
  checks::require_data(
      kOp, {{"weights", weights}, {"grad_weights", grad_weights}, {"grad_logits", grad_logits}});
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
