#pragma once

#include <cstdint>

#include "ssa/tasks/task.h"

namespace ssa {

/// What a training run computes, counted as the paper does (Table 7 and the C columns): forward
/// matrix-product operations, a multiplication and an addition each one; the vocabulary layer left
/// out; attention as the full square, causal or not, times the part that the plans sample.
/// "Per token" is per loss term: a token, a sub-pixel, an image, a graph.
struct TrainingCost {
  double forward_flop_per_token = 0;        ///< with SSA, before +FT
  double dense_forward_flop_per_token = 0;  ///< the same model with dense attention
  double train_exaflop = 0;                 ///< forward, all steps, +FT counted
  double compute_ratio = 1;                 ///< C: against dense attention, +FT counted
};

/// Counted on the task's own model, for one example: of the matrix products, those that dense
/// attention has, since the paper counts projections of all positions, though unbiased plans need
/// only those of the sampled ones. For the decoder that makes 24·L·d² + Σ_layers 4·d·N·f_l where
/// ffn_width is 4·d, with f_l the part of the N×N matrix that the layer's plans sample. Where a
/// task states the compute ratio itself (Task::stated_ratio), products are counted as computed.
TrainingCost training_cost(const Config& config, const TaskFactory& make = make_task);

/// Number of scalars that the model of this config has; nothing is allocated.
int64_t parameter_count(const Config& config, const TaskFactory& make = make_task);

}  // namespace ssa
