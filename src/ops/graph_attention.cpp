#include <cmath>

#include "ssa/ops/ops.h"

#include "ops/checks.h"

namespace ssa::ops {

namespace {

constexpr const char* kOp = "graph_attention";

void check_graphs(const PackedGraphs& graphs, const Tensor& key) {
  check_rank(kOp, "nodes", graphs.nodes, 1);
  SSA_CHECK(graphs.nodes.numel() > 0, "{}: nodes is {}, should have an offset more than graphs",
            kOp, to_string(graphs.nodes.shape()));
  check_shape(kOp, "sampled", graphs.sampled, graphs.nodes.shape());
  check_shape(kOp, "pairs", graphs.pairs, graphs.nodes.shape());
  check_shape(kOp, "sources", graphs.sources, {key.dim(0)});
  check_rank(kOp, "classes", graphs.classes, 1);
  check_integers(kOp, "nodes", graphs.nodes);
  check_integers(kOp, "sampled", graphs.sampled);
  check_integers(kOp, "pairs", graphs.pairs);
  check_integers(kOp, "sources", graphs.sources);
  SSA_CHECK(graphs.classes.dtype() == DType::u8, "{}: classes is {}, should be u8", kOp,
            name(graphs.classes.dtype()));
}

void check(const Tensor& query, const Tensor& key, const Tensor& value,
           const GraphAttentionOptions& options) {
  check_rank(kOp, "query", query, 3);
  check_rank(kOp, "key", key, 3);
  check_shape(kOp, "key", key, {key.dim(0), query.dim(1), query.dim(2)});
  check_shape(kOp, "value", value, key.shape());
  check_same_kind(kOp, query, key);
  check_same_kind(kOp, query, value);
  check_graphs(options.graphs, key);
  const Tensor& bias = options.bias_table.value();
  check_rank(kOp, "bias_table", bias, 2);
  SSA_CHECK(bias.dim(0) >= 1 && bias.dim(0) <= 256,
            "{}: bias_table is {}, should have 1 to 256 rows", kOp, to_string(bias.shape()));
  check_shape(kOp, "bias_table", bias, {bias.dim(0), query.dim(1)});
  check_parameter(kOp, "bias_table", bias, query);
  SSA_CHECK(options.logit_clip >= 0, "{}: logit_clip is {}, should be 0 (none) or above", kOp,
            options.logit_clip);
  if (!options.gate_table.defined()) return;
  check_shape(kOp, "gate_table", options.gate_table.value(), bias.shape());
  check_parameter(kOp, "gate_table", options.gate_table.value(), query);
}

GraphAttentionArgs arguments(const Tensor& query, const Tensor& key, const Tensor& value,
                             const GraphAttentionOptions& options) {
  GraphAttentionArgs args;
  args.query = query;
  args.key = key;
  args.value = value;
  args.nodes = options.graphs.nodes;
  args.sampled = options.graphs.sampled;
  args.sources = options.graphs.sources;
  args.pairs = options.graphs.pairs;
  args.classes = options.graphs.classes;
  args.bias_table = options.bias_table.value();
  args.virtual_nodes = options.virtual_nodes;
  args.scale = 1.0 / std::sqrt(static_cast<double>(query.dim(2)));
  args.logit_clip = options.logit_clip;
  args.dropout = options.dropout;
  args.out = Tensor::empty(query.shape(), query.dtype(), query.device());
  const Shape statistics{query.dim(0), query.dim(1)};
  args.lse = Tensor::empty(statistics, wide(query.dtype()), query.device());
  if (options.gate_table.defined()) {
    args.gate_table = options.gate_table.value();
    args.gate_sum = Tensor::empty_like(args.lse);
  }
  return args;
}

/// The buffer for a table's gradient: its own, or a temporary one if it needs no gradient.
Tensor table_target(const GradSlot& slot, const Tensor& table) {
  return slot.wanted() ? slot.zeroed_target()
                       : Tensor::zeros(table.shape(), table.dtype(), table.device());
}

}  // namespace

Variable graph_attention(const Variable& query, const Variable& key, const Variable& value,
                         const GraphAttentionOptions& options) {
  check(query.value(), key.value(), value.value(), options);
  GraphAttentionArgs args = arguments(query.value(), key.value(), value.value(), options);
  backend(args.out.device()).graph_attention(args);
  std::vector<Variable> inputs{query, key, value, options.bias_table};
  if (options.gate_table.defined()) inputs.push_back(options.gate_table);
  return Variable::record(
      args.out, inputs,
      [args, to_query = query.slot(), to_key = key.slot(), to_value = value.slot(),
       to_bias = options.bias_table.slot(),
       to_gate = options.gate_table.slot()](const Tensor& grad) {
        GraphAttentionBackwardArgs backward;
        backward.forward = args;
        backward.grad_out = grad;
        backward.grad_query = Tensor::empty(args.query.shape(), grad.dtype(), grad.device());
        backward.grad_key = Tensor::empty(args.key.shape(), grad.dtype(), grad.device());
        backward.grad_value = Tensor::empty(args.key.shape(), grad.dtype(), grad.device());
        backward.grad_bias_table = table_target(to_bias, args.bias_table);
        if (args.gate_table.defined()) {
          backward.grad_gate_table = table_target(to_gate, args.gate_table);
        }
        backend(grad.device()).graph_attention_backward(backward);
        to_query.accumulate(backward.grad_query);
        to_key.accumulate(backward.grad_key);
        to_value.accumulate(backward.grad_value);
      });
}

}  // namespace ssa::ops
