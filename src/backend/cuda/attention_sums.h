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

/// Adds up gradients of keys and values that windows gave, in the order of the windows. `slots`
/// (N, W) is room for what the plan is turned into: for each position, where each window has it.
template <class T>
void add_partial_gradients(const AttentionProblem& p, const AttentionGradients& gradients,
                           int32_t* slots);

}  // namespace ssa::cuda
