#pragma once

#include <cstdint>
#include <vector>

#include "ssa/backend/backend.h"

// The memory that the CPU backend takes beside the tensors that it is given. It allocates by these
// sizes, and the counting backend counts by them.

namespace ssa::cpu {

/// Whether products of data of this dtype are done in it. If not, their operands are widened.
bool multiplies_in(DType data);

/// Of packed weights (rows, columns) for products with data of this dtype.
int64_t packed_bytes(int64_t rows, int64_t columns, DType data);
/// Of each buffer that pack() holds for a moment.
std::vector<int64_t> packing_workspace(const std::vector<Tensor>& parts, bool transpose);

/// Of each buffer that a call of attention() holds. Depends on the number of threads.
std::vector<int64_t> attention_workspaces(const AttentionArgs& args);
std::vector<int64_t> attention_backward_workspaces(const AttentionBackwardArgs& args);
/// The same of graph_attention(). Where the arguments are those of the counting backend: if no
/// graph has more than 64 sources.
std::vector<int64_t> graph_attention_workspaces(const GraphAttentionArgs& args);
std::vector<int64_t> graph_attention_backward_workspaces(const GraphAttentionBackwardArgs& args);

}  // namespace ssa::cpu
