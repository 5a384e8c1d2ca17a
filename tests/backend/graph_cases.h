#pragma once

#include <ostream>

#include "backend/low_precision_cases.h"

// Batches of graphs for graph_attention() and its gradients.

namespace ssa::testing {

/// One batch of graphs.
struct GraphCase {
  std::vector<int32_t> sizes;
  int64_t heads = 2, head_size = 16, classes = 91;
  int64_t virtual_nodes = 0;
  double drop = 0;  // of sources
  bool gates = true;
  double clip = 0, dropout = 0;
};

inline std::ostream& operator<<(std::ostream& out, const GraphCase& c) {
  for (const int32_t size : c.sizes) out << size << " ";
  return out << "nodes, H " << c.heads << " D " << c.head_size << " C " << c.classes << " virtual "
             << c.virtual_nodes << " drop " << c.drop << " gates " << c.gates << " clip " << c.clip
             << " dropout " << c.dropout;
}

/// The graphs of a case; classes and sources in no order that means anything.
struct PackedGraphs {
  std::vector<int32_t> nodes{0}, sampled{0}, sources, pairs{0};
  std::vector<uint8_t> classes;

  PackedGraphs() = default;
  explicit PackedGraphs(const GraphCase& c) {
    std::mt19937 engine(5);
    for (const int32_t size : c.sizes) {
      for (int32_t p = 0; p < size * size; ++p) {
        classes.push_back(static_cast<uint8_t>(engine() % static_cast<uint32_t>(c.classes)));
      }
      for (int32_t j = 0; j < size; ++j) {
        if (static_cast<double>(engine()) * 0x1p-32 >= c.drop) sources.push_back(j);
      }
      end_graph(size);
    }
  }
  /// Graph g alone.
  PackedGraphs only(size_t g) const {
    PackedGraphs one;
    one.sources.assign(sources.begin() + sampled[g], sources.begin() + sampled[g + 1]);
    one.classes.assign(classes.begin() + pairs[g], classes.begin() + pairs[g + 1]);
    one.end_graph(nodes[g + 1] - nodes[g]);
    return one;
  }
  int64_t rows() const { return nodes.back(); }
  int64_t keys() const { return sampled.back(); }

 private:
  void end_graph(int32_t size) {
    nodes.push_back(nodes.back() + size);
    pairs.push_back(pairs.back() + size * size);
    sampled.push_back(static_cast<int32_t>(sources.size()));
  }
};

/// What a case is computed from. Rows of query, key and value are parts of wider ones.
struct GraphInputs {
  GraphCase of;
  PackedGraphs graphs;
  Tensor query, key, value, grad_out, bias_table, gate_table;

  explicit GraphInputs(const GraphCase& c) : of(c), graphs(c) {
    const auto wider = [&](int64_t rows) { return Shape{rows, c.heads + 1, c.head_size}; };
    query = random_data(wider(graphs.rows()), 1, 2).slice(1, 1, c.heads);
    key = random_data(wider(graphs.keys()), 2, 2).slice(1, 0, c.heads);
    value = random_data(wider(graphs.keys()), 3).slice(1, 1, c.heads);
    grad_out = random_data({graphs.rows(), c.heads, c.head_size}, 6);
    bias_table = random_tensor({c.classes, c.heads}, 4);
    if (c.gates) gate_table = random_tensor({c.classes, c.heads}, 5, 2);
  }
  /// Graph g alone.
  GraphInputs only(size_t g) const {
    GraphInputs one = *this;
    one.graphs = graphs.only(g);
    for (Tensor* rows : {&one.query, &one.grad_out}) {
      *rows = rows->slice(0, graphs.nodes[g], one.graphs.rows());
    }
    for (Tensor* rows : {&one.key, &one.value}) {
      *rows = rows->slice(0, graphs.sampled[g], one.graphs.keys());
    }
    return one;
  }
};

/// A list on the device of a run.
template <class T>
Tensor list_for(const Run& run, const std::vector<T>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, run.backend.device());
}

/// Forward and backward. The outputs of the run are out, lse, gate_sum if there are gates, the
/// gradients of query, key and value, and those of the tables.
inline void run_graphs(const GraphInputs& inputs, Run& run) {
  const GraphCase& c = inputs.of;
  const Shape statistics{inputs.graphs.rows(), c.heads}, table{c.classes, c.heads};
  GraphAttentionBackwardArgs args;
  GraphAttentionArgs& forward = args.forward;
  forward.query = run.in(inputs.query);
  forward.key = run.in(inputs.key);
  forward.value = run.in(inputs.value);
  forward.nodes = list_for(run, inputs.graphs.nodes);
  forward.sampled = list_for(run, inputs.graphs.sampled);
  forward.sources = list_for(run, inputs.graphs.sources);
  forward.pairs = list_for(run, inputs.graphs.pairs);
  forward.classes = list_for(run, inputs.graphs.classes);
  forward.bias_table = run.in(inputs.bias_table);
  if (c.gates) forward.gate_table = run.in(inputs.gate_table);
  forward.virtual_nodes = c.virtual_nodes;
  forward.scale = 1 / std::sqrt(static_cast<double>(c.head_size));
  forward.logit_clip = c.clip;
  forward.dropout = {c.dropout, {.seed = 9, .purpose = RngPurpose::attention_dropout, .step = 2}};
  forward.out = run.data(inputs.query.shape());
  forward.lse = run.wide(statistics);
  if (c.gates) forward.gate_sum = run.wide(statistics);
  run.backend.graph_attention(forward);
  args.grad_out = run.in(inputs.grad_out);
  args.grad_query = run.data(inputs.query.shape());
  args.grad_key = run.data(inputs.key.shape());
  args.grad_value = run.data(inputs.key.shape());
  args.grad_bias_table = run.inout(random_tensor(table, 7, 0.1));
  if (c.gates) args.grad_gate_table = run.inout(random_tensor(table, 8, 0.1));
  run.backend.graph_attention_backward(args);
}

}  // namespace ssa::testing
