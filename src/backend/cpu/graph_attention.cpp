// Checks and threads of attention inside graphs; the arithmetic is in kernels/graph_attention.cpp.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <omp.h>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dropout_stream.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/thread_scratch.h"
#include "backend/cpu/workspace_sizes.h"
#include "backend/graph_attention_checks.h"

namespace ssa {

using cpu::kernels;
using cpu::kGraphHeads;

namespace {

/// Graphs whose gradients of tables are added up by one thread before they meet those of others.
constexpr int64_t kGraphsPerSum = 8;

int64_t divide_up(int64_t count, int64_t size) { return (count + size - 1) / size; }

const cpu::GraphAttentionKernels& graph_kernels(const GraphAttentionArgs& args) {
  return args.query.dtype() == DType::bf16 ? kernels().graph_attention_bf16
                                           : kernels().graph_attention_f32;
}

/// The kernels only write through the outputs; one type serves inputs and outputs.
cpu::HeadRows head_rows(const Tensor& tensor) {
  return {const_cast<std::byte*>(tensor.raw()), 0, tensor.stride(0), tensor.dim(2)};
}

/// Tables as the kernels read them: rows rounded up to whole blocks of heads, sigmoid done.
class PaddedTables {
 public:
  explicit PaddedTables(const GraphAttentionArgs& args)
      : stride_(divide_up(args.bias_table.dim(1), kGraphHeads) * kGraphHeads),
        bias_(padded(args.bias_table)) {
    if (!args.gate_table.defined()) return;
    gate_ = padded(args.gate_table);
    for (float& gate : gate_) gate = 1 / (1 + std::exp(-gate));
  }
  int64_t stride() const { return stride_; }
  const float* bias() const { return bias_.data(); }
  const float* gate() const { return gate_.empty() ? nullptr : gate_.data(); }

 private:
  std::vector<float> padded(const Tensor& table) const {
    const int64_t rows = table.dim(0), heads = table.dim(1);
    std::vector<float> to(static_cast<size_t>(rows * stride_));
    for (int64_t c = 0; c < rows; ++c) {
      std::copy_n(table.data<float>() + c * heads, heads, to.data() + c * stride_);
    }
    return to;
  }
  int64_t stride_;
  std::vector<float> bias_, gate_;
};

/// The sources of a graph that scratch has room for. Few graphs of molecules have more nodes than
/// the least, which the counting backend, whose tensors have no elements, takes to hold.
int64_t room_for_sources(const GraphAttentionArgs& args) {
  int64_t most = 64;
  if (args.query.device() == Device::counting) return most;
  const int32_t* sampled = args.sampled.data<int32_t>();
  for (int64_t g = 0; g + 1 < args.sampled.numel(); ++g) {
    most = std::max<int64_t>(most, sampled[g + 1] - sampled[g]);
  }
  return most;
}

/// Only what the sizes of workspaces depend on.
cpu::GraphAttentionProblem extents_of(const GraphAttentionArgs& args) {
  cpu::GraphAttentionProblem problem{};
  problem.heads = args.query.dim(1);
  problem.head_size = args.query.dim(2);
  problem.most_sources = room_for_sources(args);
  return problem;
}

cpu::GraphAttentionProblem make_problem(const GraphAttentionArgs& args, const PaddedTables& tables,
                                        const cpu::DropoutStream& dropout) {
  Tensor lse = args.lse, gate_sum = args.gate_sum;
  cpu::GraphAttentionProblem problem = extents_of(args);
  problem.query = head_rows(args.query);
  problem.key = head_rows(args.key);
  problem.value = head_rows(args.value);
  problem.out = head_rows(args.out);
  problem.lse = lse.data<float>();
  if (args.gate_table.defined()) problem.gate_sum = gate_sum.data<float>();
  problem.nodes = args.nodes.data<int32_t>();
  problem.sampled = args.sampled.data<int32_t>();
  problem.sources = args.sources.data<int32_t>();
  problem.pairs = args.pairs.data<int32_t>();
  problem.classes = args.classes.data<uint8_t>();
  problem.bias = tables.bias();
  problem.gate = tables.gate();
  problem.table_stride = tables.stride();
  problem.virtual_nodes = args.virtual_nodes;
  problem.most_nodes = largest_graph(args);
  problem.scale = static_cast<float>(args.scale);
  problem.logit_clip = args.logit_clip > 0 ? static_cast<float>(args.logit_clip)
                                           : std::numeric_limits<float>::infinity();
  if (args.dropout.active()) problem.dropout = &dropout;
  return problem;
}

/// Number `block` of the blocks of heads of a graph.
cpu::GraphSlice slice_of(const cpu::GraphAttentionProblem& problem, int64_t graph, int64_t block) {
  const int64_t first = block * kGraphHeads;
  return {graph, first, std::min(kGraphHeads, problem.heads - first)};
}

/// Sums of the gradients of both tables, (groups, blocks of heads, 2, C, kGraphHeads).
class TableSums {
 public:
  explicit TableSums(const GraphAttentionArgs& args)
      : rows_(args.bias_table.dim(0)),
        blocks_(divide_up(args.query.dim(1), kGraphHeads)),
        groups_(divide_up(args.nodes.numel() - 1, kGraphsPerSum)) {}

  int64_t blocks() const { return blocks_; }
  int64_t items() const { return groups_ * blocks_; }
  int64_t bytes() const { return items() * 2 * table_size() * int64_t{sizeof(float)}; }
  void allocate() {
    sums_ = Tensor::empty({items(), 2 * table_size()}, DType::f32, Device::cpu,
                          MemoryCategory::workspace);
  }
  /// Of group item / blocks() and block item % blocks().
  float* bias(int64_t item) { return sums_.data<float>() + item * 2 * table_size(); }
  float* gate(int64_t item) { return bias(item) + table_size(); }
  void clear(int64_t item) { std::fill_n(bias(item), 2 * table_size(), 0.0f); }

  void add_bias_to(Tensor& table) { add(bias(0), table); }
  void add_gate_to(Tensor& table) { add(gate(0), table); }

 private:
  int64_t table_size() const { return rows_ * kGraphHeads; }

  /// table (C, H) += the sums, in the order of the groups.
  void add(const float* first, Tensor& table) const {
    const int64_t heads = table.dim(1);
    cpu::parallel_items(rows_, [&](int64_t c) {
      for (int64_t block = 0; block < blocks_; ++block) {
        float total[kGraphHeads] = {};
        for (int64_t g = 0; g < groups_; ++g) {
          const float* from = first + (g * blocks_ + block) * 2 * table_size() + c * kGraphHeads;
          for (int64_t h = 0; h < kGraphHeads; ++h) total[h] += from[h];
        }
        float* to = table.data<float>() + c * heads + block * kGraphHeads;
        const int64_t count = std::min(kGraphHeads, heads - block * kGraphHeads);
        for (int64_t h = 0; h < count; ++h) to[h] += total[h];
      }
    });
  }

  int64_t rows_, blocks_, groups_;
  Tensor sums_;
};

/// Of each thread.
int64_t scratch_bytes(const GraphAttentionArgs& args, bool backward) {
  const cpu::GraphAttentionKernels& chosen = graph_kernels(args);
  const auto count = backward ? chosen.backward_scratch : chosen.forward_scratch;
  return count(extents_of(args)) * int64_t{sizeof(float)};
}

}  // namespace

std::vector<int64_t> cpu::graph_attention_workspaces(const GraphAttentionArgs& args) {
  return {omp_get_max_threads() * scratch_bytes(args, false)};
}

std::vector<int64_t> cpu::graph_attention_backward_workspaces(
    const GraphAttentionBackwardArgs& args) {
  const GraphAttentionArgs& forward = args.forward;
  return {TableSums(forward).bytes(), omp_get_max_threads() * scratch_bytes(forward, true)};
}

void CpuBackend::graph_attention(GraphAttentionArgs& args) {
  checks::require_graph_attention("graph_attention", args);
  checks::require_graphs("graph_attention", args);
  const cpu::DropoutStream dropout = cpu::dropout_stream("graph_attention", args.dropout);
  const PaddedTables tables(args);
  const cpu::GraphAttentionProblem problem = make_problem(args, tables, dropout);
  const cpu::GraphAttentionKernels& chosen = graph_kernels(args);
  const int64_t blocks = divide_up(problem.heads, kGraphHeads);
  const cpu::ThreadScratch scratch(scratch_bytes(args, false));
  cpu::parallel_items((args.nodes.numel() - 1) * blocks, [&](int64_t item) {
    chosen.forward(problem, slice_of(problem, item / blocks, item % blocks),
                   static_cast<float*>(scratch.of_thread()));
  });
}

void CpuBackend::graph_attention_backward(GraphAttentionBackwardArgs& args) {
  constexpr const char* kOp = "graph_attention_backward";
  const GraphAttentionArgs& forward = args.forward;
  checks::require_graph_gradients(kOp, args);
  checks::require_graphs(kOp, forward);
  const cpu::DropoutStream dropout = cpu::dropout_stream(kOp, forward.dropout);
  const PaddedTables tables(forward);
  const cpu::GraphAttentionProblem problem = make_problem(forward, tables, dropout);
  const cpu::GraphAttentionKernels& chosen = graph_kernels(forward);
  const int64_t graphs = forward.nodes.numel() - 1;
  TableSums sums(forward);
  sums.allocate();
  const cpu::ThreadScratch scratch(scratch_bytes(forward, true));
  cpu::parallel_items(sums.items(), [&](int64_t item) {
    sums.clear(item);
    const cpu::GraphAttentionGradients gradients{
        head_rows(args.grad_out), head_rows(args.grad_query),
        head_rows(args.grad_key), head_rows(args.grad_value),
        sums.bias(item),          sums.gate(item)};
    const int64_t first = item / sums.blocks() * kGraphsPerSum;
    for (int64_t g = first; g < std::min(first + kGraphsPerSum, graphs); ++g) {
      chosen.backward(problem, gradients, slice_of(problem, g, item % sums.blocks()),
                      static_cast<float*>(scratch.of_thread()));
    }
  });
  sums.add_bias_to(args.grad_bias_table);
  if (problem.gate) sums.add_gate_to(args.grad_gate_table);
}

}  // namespace ssa
