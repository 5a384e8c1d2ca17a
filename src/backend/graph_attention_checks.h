#pragma once

#include <algorithm>

#include "ssa/backend/backend.h"

#include "backend/checks.h"

// What attention inside graphs asks of its arguments.

namespace ssa {

/// M of GraphAttentionArgs: the most nodes that a graph has. Of offsets that the host can read.
inline int64_t largest_graph(const GraphAttentionArgs& args) {
  const int32_t* nodes = args.nodes.data<int32_t>();
  int64_t most = 0;
  for (int64_t g = 0; g + 1 < args.nodes.numel(); ++g) {
    most = std::max<int64_t>(most, nodes[g + 1] - nodes[g]);
  }
  return most;
}

namespace checks {

/// Throws ShapeError unless offsets, sources and classes describe graphs. For those that the host
/// can read.
inline void require_graphs(std::string_view op, const GraphAttentionArgs& args) {
  const int32_t *nodes = args.nodes.data<int32_t>(), *sampled = args.sampled.data<int32_t>();
  const int32_t *sources = args.sources.data<int32_t>(), *pairs = args.pairs.data<int32_t>();
  const int64_t graphs = args.nodes.numel() - 1;
  SSA_CHECK(nodes[0] == 0 && sampled[0] == 0 && pairs[0] == 0,
            "{}: the offsets of nodes, sampled and pairs begin with {}, {} and {}, not with 0", op,
            nodes[0], sampled[0], pairs[0]);
  SSA_CHECK(nodes[graphs] == args.query.dim(0) && sampled[graphs] == args.key.dim(0) &&
                pairs[graphs] == args.classes.numel(),
            "{}: the offsets of nodes, sampled and pairs end with {}, {} and {}, but there are {} "
            "queries, {} keys and {} classes",
            op, nodes[graphs], sampled[graphs], pairs[graphs], args.query.dim(0), args.key.dim(0),
            args.classes.numel());
  // All offsets first: together with their ends, they say that no list is read beyond its end.
  for (int64_t g = 0; g < graphs; ++g) {
    SSA_CHECK(nodes[g + 1] >= nodes[g] && sampled[g + 1] >= sampled[g] && pairs[g + 1] >= pairs[g],
              "{}: the offsets of graph {} end before they begin", op, g);
  }
  for (int64_t g = 0; g < graphs; ++g) {
    const int64_t count = nodes[g + 1] - nodes[g];
    SSA_CHECK(pairs[g + 1] - pairs[g] == count * count,
              "{}: graph {} has {} nodes, but {} classes of pairs", op, g, count,
              pairs[g + 1] - pairs[g]);
    for (int64_t s = sampled[g]; s < sampled[g + 1]; ++s) {
      SSA_CHECK(sources[s] >= 0 && sources[s] < count, "{}: source {} of graph {}, of {} nodes", op,
                sources[s], g, count);
      SSA_CHECK(s == sampled[g] || sources[s] > sources[s - 1],
                "{}: the sources of graph {} do not ascend at {}", op, g, s);
    }
  }
  const uint8_t* classes = args.classes.data<uint8_t>();
  const int64_t rows = args.bias_table.dim(0), pair_count = args.classes.numel();
  for (int64_t p = 0; p < pair_count; ++p) {
    SSA_CHECK(classes[p] < rows, "{}: class {} of pair {}, but bias_table has {} rows", op,
              classes[p], p, rows);
  }
}

/// Throws ShapeError unless shapes and dtypes fit, for backends that compute in low precision.
inline void require_graph_attention(const Op& op, const GraphAttentionArgs& args) {
  require_rank(op, {"query", args.query}, 3);
  require_rank(op, {"key", args.key}, 3);
  require_rank(op, {"bias_table", args.bias_table}, 2);
  require_data_dtype(op, {"query", args.query});
  const Shape& shape = args.query.shape();
  const Shape sources{args.key.dim(0), shape[1], shape[2]}, statistics{shape[0], shape[1]};
  const DType dtype = args.query.dtype();
  require_head_rows(op, {"query", args.query}, dtype, shape);
  require_head_rows(op, {"key", args.key}, dtype, sources);
  require_head_rows(op, {"value", args.value}, dtype, sources);
  require_head_rows(op, {"out", args.out}, dtype, shape);
  require_packed(op, {"lse", args.lse}, DType::f32, statistics);
  require_rank(op, {"nodes", args.nodes}, 1);
  SSA_CHECK(args.nodes.numel() > 0, "{}: nodes has no offsets", op.name);
  require_packed(op, {"nodes", args.nodes}, DType::i32, args.nodes.shape());
  require_packed(op, {"sampled", args.sampled}, DType::i32, args.nodes.shape());
  require_packed(op, {"pairs", args.pairs}, DType::i32, args.nodes.shape());
  require_packed(op, {"sources", args.sources}, DType::i32, {sources[0]});
  require_rank(op, {"classes", args.classes}, 1);
  require_packed(op, {"classes", args.classes}, DType::u8, args.classes.shape());
  const Shape table{args.bias_table.dim(0), shape[1]};
  SSA_CHECK(table[0] >= 1 && table[0] <= 256, "{}: bias_table has {} rows; 1 to 256 are possible",
            op.name, table[0]);
  require_packed(op, {"bias_table", args.bias_table}, DType::f32, table);
  if (!args.gate_table.defined()) return;
  require_packed(op, {"gate_table", args.gate_table}, DType::f32, table);
  require_packed(op, {"gate_sum", args.gate_sum}, DType::f32, statistics);
}

inline void require_graph_gradients(const Op& op, const GraphAttentionBackwardArgs& args) {
  const GraphAttentionArgs& forward = args.forward;
  require_graph_attention(op, forward);
  const DType dtype = forward.query.dtype();
  require_head_rows(op, {"grad_out", args.grad_out}, dtype, forward.query.shape());
  require_head_rows(op, {"grad_query", args.grad_query}, dtype, forward.query.shape());
  require_head_rows(op, {"grad_key", args.grad_key}, dtype, forward.key.shape());
  require_head_rows(op, {"grad_value", args.grad_value}, dtype, forward.key.shape());
  const Shape& table = forward.bias_table.shape();
  require_packed(op, {"grad_bias_table", args.grad_bias_table}, DType::f32, table);
  if (forward.gate_table.defined()) {
    require_packed(op, {"grad_gate_table", args.grad_gate_table}, DType::f32, table);
  }
}

}  // namespace checks
}  // namespace ssa
