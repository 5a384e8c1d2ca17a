#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/recording.h"

// AttentionArgs (ssa/backend/backend.h) as the kernels read it: pointers and numbers.

namespace ssa {
struct Dropout;
}

namespace ssa::cuda {

/// A (B, N, H, D) tensor whose heads are contiguous; strides in elements.
struct HeadRows {
  std::byte* data;
  int64_t batch_stride, row_stride;
};

/// Dropout as the kernels draw it: element i is kept where word i of the key is ≥ threshold.
struct WeightDropout {
  StepKey key;
  uint32_t threshold;  ///< 0: nothing is dropped
  float kept_factor;   ///< 1 / (1 - probability)
};
WeightDropout weight_dropout(const Dropout& dropout);

/// A learned 2-D bias as kernels look it up (PositionGrid).
struct RelativeBias {
  const float* table;  ///< ((2·rows - 1)·(2·reach_across + 1), H), or null
  int row_positions;   ///< of the grid
  int channels;        ///< of a cell of the grid
  int column_stride;   ///< of codes across; 1: channels are not told apart
  int rows;            ///< pairs this far apart or more are masked
  int reach_across;    ///< pairs whose codes across differ by more are masked
};

struct AttentionProblem {
  HeadRows query, key, value, out;
  float* lse;  ///< (B, H, N)
  int batch, length, heads, head_size;
  int windows, targets, sources;    ///< W, T, S
  const int32_t* target_positions;  ///< (W, T)
  const int32_t* source_positions;  ///< (W, S)
  bool compact;                     ///< row s of key and value belongs to source s
  bool causal;
  bool vectors;     ///< rows of heads of all tensors begin at 16-byte boundaries
  int query_start;  ///< position of the first row of query
  float scale;
  const float* slopes;  ///< (H), or null
  RelativeBias relative;
  const int32_t* regions;  ///< of the positions of the first sequence, or null
  int region_stride;       ///< to the regions of the next sequence
  WeightDropout dropout;
  unsigned long long* errors;  ///< the ErrorRecord
};

/// What backward needs of a target: its log-sum-exp, which is +inf if no source is visible, so that
/// all its weights become 0; and δ = Σ_d grad_out · out.
struct TargetStatistics {
  float lse, delta;
};

struct AttentionGradients {
  HeadRows grad_out, grad_query, grad_key, grad_value;
  const TargetStatistics* statistics;  ///< (B, H, N)
  /// Gradients of keys and values by window, (B, W, S, H, partial_stride) f32, if several windows
  /// may sample a position; else null.
  float *partial_key, *partial_value;
  int partial_stride;
};

/// A buffer for the gradients of some heads' biased logits, summed over the sequences: (count, W,
/// T, S).
struct LogitGradients {
  int first_head, count;
  float* sums;
};

}  // namespace ssa::cuda
