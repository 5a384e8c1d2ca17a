#pragma once

#include "backend/cuda/attention_problem.h"

// The parts of attention's gradients that come before and after the matrix products.

namespace ssa::cuda {

/// Log-sum-exps, times `lse_factor`, and δ for attention_backward, (B, H, N). T is the data's type.
template <class T>
void attention_statistics(const AttentionProblem& p, const HeadRows& grad_out, float lse_factor,
                          TargetStatistics* statistics);

/// Writes zeros to all rows of a (B, rows, H, D) tensor.
template <class T>
void clear_heads(const AttentionProblem& p, const HeadRows& out, int rows);

/// Inverts the plan for the sums below. slots (N, W): the index of position n among the sources of
/// window w, or -1.
void find_slots(const AttentionProblem& p, int32_t* slots);

/// Adds up the windows' gradients of keys and values, in the order of the windows.
template <class T>
void add_partial_gradients(const AttentionProblem& p, const AttentionGradients& gradients,
                           const int32_t* slots);

/// Adds the contribution of some heads' logits to the gradient of a learned 2-D bias, (rows of the
/// table, H).
void add_relative_gradient(const AttentionProblem& p, const LogitGradients& logits,
                           const int32_t* slots, float* grad_table);

}  // namespace ssa::cuda
