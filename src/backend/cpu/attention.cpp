// Checks and threads of attention; the arithmetic is in kernels/attention_*.cpp.

#include <algorithm>

#include <omp.h>

#include "backend/cpu/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dropout_stream.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"

namespace ssa {

using cpu::kernels;

namespace {

void require_no_extras(const AttentionArgs& args) {
  constexpr const char* kMessage = "attention: the cpu backend has no {} yet";
  SSA_CHECK(!args.relative_table.defined(), kMessage, "learned 2-D bias");
  SSA_CHECK(!args.pair_bias.defined(), kMessage, "pair bias");
  SSA_CHECK(!args.pair_gate.defined(), kMessage, "pair gate");
  SSA_CHECK(args.logit_clip == 0, kMessage, "clipping of logits");
}

/// (B, N, H, D) f32 with contiguous heads; rows may be strided.
void require_heads(const cpu::Named& argument, const Shape& shape) {
  cpu::require("attention", argument, DType::f32, shape);
  const Tensor& tensor = argument.tensor;
  SSA_CHECK(
      (shape[3] == 1 || tensor.stride(3) == 1) && (shape[2] == 1 || tensor.stride(2) == shape[3]),
      "attention: the {}-wide rows of {} must be contiguous", shape[2] * shape[3], argument.name);
}

void require_positions(const cpu::Named& argument, const Shape& shape, int64_t length) {
  cpu::require_packed("attention", argument, DType::i32, shape);
  const auto* position = argument.tensor.data<int32_t>();
  for (int64_t i = 0; i < argument.tensor.numel(); ++i) {
    SSA_CHECK(position[i] >= 0 && position[i] < length,
              "attention: {} has position {} at {}, outside 0 … {}", argument.name, position[i], i,
              length - 1);
  }
}

void require_valid(const AttentionArgs& args) {
  require_no_extras(args);
  cpu::require_rank("attention", {"query", args.query}, 4);
  const Shape& shape = args.query.shape();
  const int64_t batch = shape[0], length = shape[1], heads = shape[2];
  require_heads({"query", args.query}, shape);
  require_heads({"key", args.key}, shape);
  require_heads({"value", args.value}, shape);
  require_heads({"out", args.out}, shape);
  cpu::require_packed("attention", {"lse", args.lse}, DType::f32, {batch, heads, length});
  cpu::require_rank("attention", {"targets", args.plan.targets}, 2);
  cpu::require_rank("attention", {"sources", args.plan.sources}, 2);
  const int64_t windows = args.plan.windows();
  SSA_CHECK(windows * args.plan.targets_per_window() == length,
            "attention: {} windows of {} targets do not make up {} positions", windows,
            args.plan.targets_per_window(), length);
  SSA_CHECK(length <= (1 << 24), "attention: {} positions, but the cpu backend stops at {}", length,
            1 << 24);
  require_positions({"targets", args.plan.targets}, args.plan.targets.shape(), length);
  require_positions({"sources", args.plan.sources}, {windows, args.plan.sources_per_window()},
                    length);
  if (args.alibi_slopes.defined()) {
    cpu::require_packed("attention", {"alibi_slopes", args.alibi_slopes}, DType::f32, {heads});
  }
}

/// The kernels only write through the outputs; one type serves inputs and outputs.
cpu::HeadRows head_rows(const Tensor& tensor) {
  return {const_cast<float*>(tensor.data<float>()), tensor.stride(0), tensor.stride(1),
          tensor.dim(3)};
}

cpu::AttentionProblem make_problem(const AttentionArgs& args, const cpu::DropoutStream& dropout) {
  Tensor lse = args.lse;
  return {.query = head_rows(args.query),
          .key = head_rows(args.key),
          .value = head_rows(args.value),
          .out = head_rows(args.out),
          .lse = lse.data<float>(),
          .length = args.query.dim(1),
          .heads = args.query.dim(2),
          .head_size = args.query.dim(3),
          .targets_per_window = args.plan.targets_per_window(),
          .sources_per_window = args.plan.sources_per_window(),
          .targets = args.plan.targets.data<int32_t>(),
          .sources = args.plan.sources.data<int32_t>(),
          .scale = static_cast<float>(args.scale),
          .causal = args.causal,
          .alibi_slopes = args.alibi_slopes.defined() ? args.alibi_slopes.data<float>() : nullptr,
          .dropout = args.dropout.active() ? &dropout : nullptr};
}

/// One buffer a thread, 64-byte aligned.
class ThreadScratch {
 public:
  explicit ThreadScratch(int64_t floats)
      : floats_((floats + 15) / 16 * 16),
        buffer_(Tensor::empty({omp_get_max_threads(), floats_}, DType::f32, Device::cpu,
                              MemoryCategory::workspace)),
        data_(buffer_.data<float>()) {}
  float* mine() const { return data_ + omp_get_thread_num() * floats_; }

 private:
  int64_t floats_;
  Tensor buffer_;
  float* data_;
};

}  // namespace

void CpuBackend::attention(AttentionArgs& args) {
  require_valid(args);
  const cpu::DropoutStream dropout = cpu::dropout_stream("attention", args.dropout);
  const cpu::AttentionProblem problem = make_problem(args, dropout);
  const ThreadScratch scratch(kernels().attention_forward_scratch(problem));
  const int64_t chunks = (problem.targets_per_window + cpu::kTargetChunk - 1) / cpu::kTargetChunk;
  const int64_t windows = args.plan.windows();
  cpu::parallel_items(args.query.dim(0) * problem.heads * windows * chunks, [&](int64_t item) {
    const int64_t first = item % chunks * cpu::kTargetChunk;
    const int64_t window = item / chunks % windows;
    const int64_t head = item / chunks / windows % problem.heads;
    const int64_t batch = item / chunks / windows / problem.heads;
    const int64_t count = std::min(cpu::kTargetChunk, problem.targets_per_window - first);
    kernels().attention_forward(problem, {batch, head, window, first, count}, scratch.mine());
  });
}

// A position may be sampled by several windows, so that one thread does all the windows of a head,
// in order.
void CpuBackend::attention_backward(AttentionBackwardArgs& args) {
  const AttentionArgs& forward = args.forward;
  require_valid(forward);
  const Shape& shape = forward.query.shape();
  require_heads({"grad_out", args.grad_out}, shape);
  require_heads({"grad_query", args.grad_query}, shape);
  require_heads({"grad_key", args.grad_key}, shape);
  require_heads({"grad_value", args.grad_value}, shape);
  const cpu::DropoutStream dropout = cpu::dropout_stream("attention", forward.dropout);
  const cpu::AttentionProblem problem = make_problem(forward, dropout);
  const cpu::AttentionGradients gradients{head_rows(args.grad_out), head_rows(args.grad_query),
                                          head_rows(args.grad_key), head_rows(args.grad_value)};
  const ThreadScratch scratch(kernels().attention_backward_scratch(problem));
  cpu::parallel_items(shape[0] * problem.heads, [&](int64_t item) {
    const int64_t head = item % problem.heads, batch = item / problem.heads;
    for (const cpu::HeadRows& rows : {gradients.grad_key, gradients.grad_value}) {
      float* first = rows.data + batch * rows.batch_stride + head * rows.head_stride;
      for (int64_t n = 0; n < problem.length; ++n) {
        std::fill_n(first + n * rows.row_stride, problem.head_size, 0.0f);
      }
    }
    for (int64_t window = 0; window < forward.plan.windows(); ++window) {
      kernels().attention_backward(
          problem, gradients, {batch, head, window, 0, problem.targets_per_window}, scratch.mine());
    }
  });
}

}  // namespace ssa
