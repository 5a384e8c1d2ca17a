#pragma once

#include <type_traits>
#include <utility>

#include "backend/cuda/attention_problem.h"
#include "backend/cuda/attention_tiling.h"
#include "backend/cuda/launch.h"

// The host's interface to the attention kernels.

namespace ssa::cuda {

/// The properties of a device that implementations depend on.
struct AttentionDevice {
  int architecture;     ///< 80 for sm_80
  size_t shared_limit;  ///< bytes of shared memory that a block may have
  int multiprocessors;
};

/// The properties of this GPU. Tests change them to get other launch shapes; results have the same
/// bits with all.
AttentionDevice& attention_device();

/// `rows` of a window: its targets, or its sources.
inline HalfProblem half_problem(const AttentionProblem& p, int rows,
                                const AttentionDevice& device) {
  return {rows, int64_t{p.batch} * p.windows * p.heads, device.shared_limit,
          device.multiprocessors};
}

/// One way to compute attention. `backward` overwrites grad_query. It overwrites the gradients by
/// window if there are buffers for them, else the rows of grad_key and grad_value that are sources.
/// The statistics must hold log-sum-exps times `lse_factor`.
struct AttentionImplementation {
  const char* name;
  bool (*accepts)(const AttentionProblem& p, const AttentionDevice& device);
  float lse_factor;
  void (*forward)(const AttentionProblem& p, const AttentionDevice& device);
  void (*backward)(const AttentionProblem& p, const AttentionGradients& gradients,
                   const AttentionDevice& device);
  /// For learned biases: fills `logits`. Takes the same statistics as `backward`.
  void (*logit_gradients)(const AttentionProblem& p, const AttentionGradients& gradients,
                          const LogitGradients& logits, const AttentionDevice& device);
};

/// For T = BFloat16 and Float16. Needs the products of sm_80 and 99 KiB of shared memory.
template <class T>
void attention_forward_half(const AttentionProblem& p, const AttentionDevice& device);
template <class T>
void attention_backward_half(const AttentionProblem& p, const AttentionGradients& gradients,
                             const AttentionDevice& device);
template <class T>
void attention_logit_gradients_half(const AttentionProblem& p, const AttentionGradients& gradients,
                                    const LogitGradients& logits, const AttentionDevice& device);

void attention_forward_f32(const AttentionProblem& p, const AttentionDevice& device);
void attention_backward_f32(const AttentionProblem& p, const AttentionGradients& gradients,
                            const AttentionDevice& device);
void attention_logit_gradients_f32(const AttentionProblem& p, const AttentionGradients& gradients,
                                   const LogitGradients& logits, const AttentionDevice& device);

/// One block per block of rows, window, head and sequence. Throws ShapeError if that exceeds a
/// grid.
dim3 attention_grid(const AttentionProblem& p, const AttentionLaunch& shape);

/// One block per tile of the logits of some heads. Throws likewise.
dim3 logit_grid(const AttentionProblem& p, const LogitGradients& logits, int row_blocks,
                int column_blocks);

/// Calls f with the padded head size as a std::integral_constant.
template <class F>
void visit_half_head(int head_size, F&& f) {
  switch (padded_head_size(head_size)) {
    case 32:
      return f(std::integral_constant<int, 32>{});
    case 64:
      return f(std::integral_constant<int, 64>{});
    case 96:
      return f(std::integral_constant<int, 96>{});
    case 128:
      return f(std::integral_constant<int, 128>{});
    default:
      return f(std::integral_constant<int, 256>{});
  }
}

}  // namespace ssa::cuda
