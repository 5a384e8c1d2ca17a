#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/attention_problem.h"

// Attention inside graphs as the kernels read it: pointers and numbers. The meaning is that of
// GraphAttentionArgs (ssa/backend/backend.h).

namespace ssa::cuda {

/// A (·, H, D) tensor whose rows of H·D are contiguous. The stride is in elements.
struct GraphRows {
  std::byte* data;
  int64_t stride;
};

struct GraphProblem {
  GraphRows query, key, value, out;
  float* lse;                              ///< (R, H)
  float* gate_sum;                         ///< (R, H), or null
  const int32_t *nodes, *sampled, *pairs;  ///< (G+1), offsets
  const int32_t* sources;
  const uint8_t* classes;
  const float* bias_table;                           ///< (C, H)
  const float* gate_table;                           ///< (C, H), or null
  int graphs, node_count, source_count, pair_count;  ///< G, R, K, Σ n_g²
  int class_count, heads, head_size, virtual_nodes;
  bool vectors;       ///< heads of all tensors can be loaded and stored 4 elements at a time
  float scale, clip;  ///< clip is infinite where there is none
  WeightDropout dropout;
  const int32_t* largest;      ///< M, where weights are dropped; else null
  unsigned long long* errors;  ///< the ErrorRecord
};

struct GraphGradients {
  GraphRows grad_out, grad_query, grad_key, grad_value;
  float* means;   ///< (R, H): Σ_j softmax·gate·(the gradient by their product)
  float* tables;  ///< (parts, 1 or 2, C, H): the tables' gradients over each part of the targets
};

/// How the tiles of targets are divided into parts. A block adds up the gradients of the tables
/// over a part. The division depends on shapes alone, and so does the order of the sums.
struct TableParts {
  int parts, tiles_per_part;
};
TableParts table_parts(const GraphProblem& p);

/// *largest = M.
void find_largest_graph(const int32_t* nodes, int graphs, int32_t* largest);

template <class T>
void graph_attention_forward(const GraphProblem& p);
/// The gradients of queries, the means, and the parts of the tables' gradients.
template <class T>
void graph_attention_target_gradients(const GraphProblem& p, const GraphGradients& gradients);
/// The gradients of keys and values. The means must be there.
template <class T>
void graph_attention_source_gradients(const GraphProblem& p, const GraphGradients& gradients);

}  // namespace ssa::cuda
