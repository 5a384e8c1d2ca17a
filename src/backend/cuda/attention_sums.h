#pragma once

#include "backend/cuda/attention_problem.h"

// What the gradients of attention need before and after their products.

namespace ssa::cuda {

/// Log-sum-exps, times `lse_factor`, and δ for attention_backward, (B, H, N). T is the data's type.
template <class T>
void attention_statistics(const AttentionProblem& p, const HeadRows& grad_out, float lse_factor,
                          TargetStatistics* statistics);

/// Writes zeros to all rows of a (B, rows, H, D) tensor.
template <class T>
void clear_heads(const AttentionProblem& p, const HeadRows& out, int rows);

/// What the plan is turned into for the sums below: slots (N, W), for each position, where each
/// window has it among its sources, or -1.
void find_slots(const AttentionProblem& p, int32_t* slots);

/// Adds up gradients of keys and values that windows gave, in the order of the windows.
template <class T>
void add_partial_gradients(const AttentionProblem& p, const AttentionGradients& gradients,
                           const int32_t* slots);

/// Adds to the gradient of a learned 2-D bias, (rows of the table, H), what the logits of some
/// heads give.
void add_relative_gradient(const AttentionProblem& p, const LogitGradients& logits,
                           const int32_t* slots, float* grad_table);

}  // namespace ssa::cuda
