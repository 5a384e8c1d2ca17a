#pragma once

#include <cstdint>
#include <vector>

#include "ssa/backend/backend.h"

// Sizes of the buffers that the CPU backend allocates during its calls. The counting backend counts
// with the same functions.

namespace ssa::cpu {

/// Whether data of this dtype are multiplied as they are. If not, the operands are widened to f32.
bool multiplies_in(DType data);

/// Bytes of packed weights (rows, columns) for products with data of this dtype.
int64_t packed_bytes(int64_t rows, int64_t columns, DType data);
/// Bytes of each temporary buffer of pack().
std::vector<int64_t> packing_workspace(const std::vector<Tensor>& parts, bool transpose);

/// Bytes of each temporary buffer of attention(). They depend on the number of threads.
std::vector<int64_t> attention_workspaces(const AttentionArgs& args);
std::vector<int64_t> attention_backward_workspaces(const AttentionBackwardArgs& args);
/// The same of graph_attention(). Where the arguments are those of the counting backend: if no
/// graph has more than 64 sources.
std::vector<int64_t> graph_attention_workspaces(const GraphAttentionArgs& args);
std::vector<int64_t> graph_attention_backward_workspaces(const GraphAttentionBackwardArgs& args);

}  // namespace ssa::cpu
