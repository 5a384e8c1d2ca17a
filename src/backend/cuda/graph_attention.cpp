// Checks of attention inside graphs, and the workspace of its gradients. The kernels are in
// graph_attention.cu.

#include "backend/cuda/graph_attention.h"

#include <algorithm>
#include <climits>
#include <limits>

#include "backend/cuda/attention_tiling.h"
#include "backend/cuda/column_sum.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/error_record.h"
#include "backend/cuda/visit_data.h"
#include "backend/dropout_checks.h"
#include "backend/graph_attention_checks.h"

namespace ssa {

namespace {

using cuda::GraphGradients;
using cuda::GraphProblem;
using cuda::GraphRows;

void require_sizes(const checks::Op& op, const GraphAttentionArgs& args) {
  SSA_CHECK(args.query.dim(2) <= cuda::kMaxHeadSize,
            "{}: heads of {}, but the cuda backend stops at {}", op.name, args.query.dim(2),
            cuda::kMaxHeadSize);
  for (const int64_t size : {args.query.dim(0), args.key.dim(0), args.classes.numel()}) {
    SSA_CHECK(size < INT_MAX, "{}: {} rows or classes are too many for offsets of 32 bits", op.name,
              size);
  }
  checks::require_dropout(op.name, args.dropout);
  checks::require_single_elements(op.name, args.dropout);
}

/// Inputs have the same type as outputs; the kernels write to the outputs only.
GraphRows graph_rows(const Tensor& tensor) {
  return {const_cast<std::byte*>(tensor.raw()), tensor.stride(0)};
}

/// Whether heads can be loaded 4 elements at a time: their size is a multiple of 4, and all of them
/// begin at an address that is aligned for such a load.
bool in_vectors(std::initializer_list<const Tensor*> tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const Tensor* tensor) {
    const size_t vector_bytes = 4 * size_of(tensor->dtype());
    return reinterpret_cast<uintptr_t>(tensor->raw()) % vector_bytes == 0 &&
           tensor->dim(2) % 4 == 0 && tensor->stride(0) % 4 == 0;
  });
}

/// M in device memory until the end of the call. Only dropout needs it.
class LargestGraph {
 public:
  explicit LargestGraph(const GraphAttentionArgs& args) {
    if (!args.dropout.active()) return;
    number_ = Tensor::empty({1}, DType::i32, Device::cuda, MemoryCategory::workspace);
    cuda::find_largest_graph(args.nodes.data<int32_t>(), static_cast<int>(args.nodes.numel() - 1),
                             number_.data<int32_t>());
  }
  const int32_t* get() const { return number_.defined() ? number_.data<int32_t>() : nullptr; }

 private:
  Tensor number_;
};

GraphProblem make_problem(const GraphAttentionArgs& args, const LargestGraph& largest) {
  const auto size = [](int64_t value) { return static_cast<int>(value); };
  Tensor lse = args.lse, gate_sum = args.gate_sum;
  const bool gated = args.gate_table.defined();
  return {.query = graph_rows(args.query),
          .key = graph_rows(args.key),
          .value = graph_rows(args.value),
          .out = graph_rows(args.out),
          .lse = lse.data<float>(),
          .gate_sum = gated ? gate_sum.data<float>() : nullptr,
          .nodes = args.nodes.data<int32_t>(),
          .sampled = args.sampled.data<int32_t>(),
          .pairs = args.pairs.data<int32_t>(),
          .sources = args.sources.data<int32_t>(),
          .classes = args.classes.data<uint8_t>(),
          .bias_table = args.bias_table.data<float>(),
          .gate_table = gated ? args.gate_table.data<float>() : nullptr,
          .graphs = size(args.nodes.numel() - 1),
          .node_count = size(args.query.dim(0)),
          .source_count = size(args.key.dim(0)),
          .pair_count = size(args.classes.numel()),
          .class_count = size(args.bias_table.dim(0)),
          .heads = size(args.query.dim(1)),
          .head_size = size(args.query.dim(2)),
          .virtual_nodes = size(std::min<int64_t>(args.virtual_nodes, INT_MAX)),
          .vectors = in_vectors({&args.query, &args.key, &args.value, &args.out}),
          .scale = static_cast<float>(args.scale),
          .clip = args.logit_clip > 0 ? static_cast<float>(args.logit_clip)
                                      : std::numeric_limits<float>::infinity(),
          .dropout = cuda::weight_dropout(args.dropout),
          .largest = largest.get(),
          .errors = cuda::error_record()};
}

bool empty(const GraphAttentionArgs& args) {
  return args.query.numel() == 0 || args.nodes.numel() == 1;
}

Tensor floats(const Shape& shape) {
  return Tensor::empty(shape, DType::f32, Device::cuda, MemoryCategory::workspace);
}

}  // namespace

void CudaBackend::graph_attention(GraphAttentionArgs& args) {
  const checks::Op op("graph_attention", Device::cuda);
  checks::require_graph_attention(op, args);
  require_sizes(op, args);
  if (empty(args)) return;
  const LargestGraph largest(args);
  const GraphProblem problem = make_problem(args, largest);
  cuda::visit_data(args.query.dtype(),
                   [&]<class T>(TypeTag<T>) { cuda::graph_attention_forward<T>(problem); });
}

void CudaBackend::graph_attention_backward(GraphAttentionBackwardArgs& args) {
  const checks::Op op("graph_attention_backward", Device::cuda);
  checks::require_graph_gradients(op, args);
  const GraphAttentionArgs& forward = args.forward;
  require_sizes(op, forward);
  if (empty(forward)) return;
  const LargestGraph largest(forward);
  GraphProblem problem = make_problem(forward, largest);
  problem.vectors = problem.vectors && in_vectors({&args.grad_out, &args.grad_query, &args.grad_key,
                                                   &args.grad_value});
  const int64_t parts = cuda::table_parts(problem).parts;
  const int64_t tables = forward.gate_table.defined() ? 2 : 1, size = forward.bias_table.numel();
  Tensor means = floats(forward.lse.shape()), partial = floats({parts, tables, size});
  const GraphGradients gradients = {.grad_out = graph_rows(args.grad_out),
                                    .grad_query = graph_rows(args.grad_query),
                                    .grad_key = graph_rows(args.grad_key),
                                    .grad_value = graph_rows(args.grad_value),
                                    .means = means.data<float>(),
                                    .tables = partial.data<float>()};
  cuda::visit_data(forward.query.dtype(), [&]<class T>(TypeTag<T>) {
    cuda::graph_attention_target_gradients<T>(problem, gradients);
    if (problem.source_count > 0) cuda::graph_attention_source_gradients<T>(problem, gradients);
  });
  float* const to[] = {args.grad_bias_table.data<float>(),
                       tables == 2 ? args.grad_gate_table.data<float>() : nullptr};
  cuda::add_partial_sums(partial.data<float>(), parts, static_cast<int>(tables), size, true, to);
}

}  // namespace ssa
