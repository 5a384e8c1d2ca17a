// Attention inside graphs and its gradients (EGT, Hussain et al. 2022), for all data types.
// Products are fused multiply-adds in f32: graphs are small and heads are narrow, so that memory
// takes the time, and each kernel reads a graph of up to 32 nodes once.
//
// A thread has a target (forward pass, gradients of queries and tables) or a source (gradients of
// keys and values) and goes through the other side in order. So the order of a row's sums depends
// on its graph alone.

#include <algorithm>

#include "backend/cuda/attention_tiling.h"
#include "backend/cuda/graph_attention.cuh"
#include "backend/cuda/launch.h"

namespace ssa::cuda {

namespace {

// ---- forward -----------------------------------------------------------------------------------

/// A target's softmax so far.
struct GraphSums {
  float highest = -INFINITY, total = 0, gates = 0;
  float out[kPerLane] = {};
};

/// Adds sources s … s+3 of a tile to a target's sums. `row` is the target's in the tile.
template <int kLanes>
__device__ void add_sources(GraphSums& sums, const GraphProblem& p,
                            const GraphShared<kLanes>& shared, const GraphThread<kLanes>& thread,
                            const float (&query)[kPerLane], int s, int count, uint32_t kept) {
  constexpr int kHead = GraphBlock<kLanes>::kHead;
  const int first = (thread.head * kOthers + s) * kHead, table = thread.head * p.class_count;
  float logits[4], gates[4], now = sums.highest;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float product = dot_row<kLanes>(query, shared.first + first + i * kHead, thread.lane);
    const int at = table + shared.pairs->classes[thread.row][s + i];
    const bool exists = s + i < count;
    logits[i] = exists ? pair_logit(p, product, shared.bias[at]).value : -INFINITY;
    gates[i] = exists ? shared.gate[at] : 0.0f;
    now = fmaxf(now, logits[i]);
  }
  const float shift = now == -INFINITY ? 0.0f : now;
  const float rescale = exp_approx(sums.highest - shift);
  sums.highest = now;
  sums.total *= rescale;
#pragma unroll
  for (float& sum : sums.out) sum *= rescale;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float weight = exp_approx(logits[i] - shift);
    sums.total += weight;
    sums.gates += gates[i];
    const float factor = kept >> (s + i) & 1 ? weight * gates[i] : 0.0f;
    add_row<kLanes>(sums.out, factor, shared.second + first + i * kHead, thread.lane);
  }
}

/// Writes a target's results.
template <class T, int kLanes>
__device__ void finish_target(GraphSums& sums, const GraphProblem& p, int64_t row, int head,
                              int lane, bool is_virtual) {
  const bool gated = p.gate_table != nullptr;
  const float degree = gated && !is_virtual ? log1pf(sums.gates) : 1.0f;
  const float factor = sums.total == 0 ? 0.0f : degree * p.dropout.kept_factor / sums.total;
#pragma unroll
  for (float& sum : sums.out) sum *= factor;
  write_lane<T, kLanes>(sums.out, p, p.out, row, head, lane);
  if (lane != 0) return;
  const int64_t at = row * p.heads + head;
  p.lse[at] = sums.total == 0 ? -INFINITY : sums.highest + logf(sums.total);
  if (gated) p.gate_sum[at] = sums.gates;
}

template <class T, int kLanes>
__global__ void __launch_bounds__(kGraphThreads, 2) graph_forward_kernel(const GraphProblem p) {
  constexpr int kRows = GraphBlock<kLanes>::kRows;
  const GraphTile tile = find_tile(p.nodes, p.graphs, kRows, static_cast<int>(blockIdx.x));
  const Graph graph(p, tile.graph);
  if (tile.first >= graph.nodes.count) return;
  const GraphThread<kLanes> thread;
  const GraphShared<kLanes> shared(p);
  const int first_head = static_cast<int>(blockIdx.y) * GraphBlock<kLanes>::kHeads;
  const int head = first_head + thread.head, node = tile.first + thread.row;
  const bool exists = head < p.heads && node < graph.nodes.count;
  const int64_t row = graph.nodes.begin + node;
  stage_tables(shared, p, first_head);
  float query[kPerLane];
  read_lane<T, kLanes>(query, p, p.query, exists, row, head, thread.lane);
  GraphSums sums;
  for (int first = 0; first < graph.sources.count; first += kOthers) {
    const int count = min(kOthers, graph.sources.count - first);
    const int source = graph.sources.begin + first;
    __syncthreads();
    stage_rows<T, kLanes>(shared.first, p, p.key, source, count, first_head);
    stage_rows<T, kLanes>(shared.second, p, p.value, source, count, first_head);
    stage_pairs(shared.pairs, p, graph, {tile.first, min(kRows, graph.nodes.count - tile.first)},
                {first, count});
    __syncthreads();
    if (!__any_sync(kAllLanes, exists)) continue;
    const uint32_t kept = draw_kept(p, exists ? count : 0, [&](int s) {
      return weight_element(p, row, head, shared.pairs->nodes[s]);
    });
#pragma unroll 1
    for (int s = 0; s < count; s += 4) {
      add_sources<kLanes>(sums, p, shared, thread, query, s, count, kept);
    }
  }
  if (exists) finish_target<T, kLanes>(sums, p, row, head, thread.lane, node < p.virtual_nodes);
}

// ---- backward: what both kernels compute of a pair ---------------------------------------------
// With z the factors of dropout and dw_j = z_j·(grad_out·v_j):
//   mean = Σ_j p_j·g_j·dw_j
//   grad_bias_j = degree·p_j·(g_j·dw_j - mean)     and of the product too, where it is not clipped
//   grad_gate_j = g_j·(1 - g_j)·(degree·p_j·dw_j + mean/(1 + Σ g))     no sum for virtual nodes

struct PairWeights {
  float weight, gate;  // p and g
  float grad_weight;   // dw
  bool inside;
};

/// `first` and `second`: this thread's row of query and grad_out, or of key and value. `row` and
/// `pair_class` are of the other.
template <int kLanes>
__device__ PairWeights pair_weights(const GraphProblem& p, const GraphShared<kLanes>& shared,
                                    const GraphThread<kLanes>& thread,
                                    const float (&first)[kPerLane], const float (&second)[kPerLane],
                                    int row, int pair_class, float lse, bool kept) {
  const int other = (thread.head * kOthers + row) * GraphBlock<kLanes>::kHead;
  const int at = thread.head * p.class_count + pair_class;
  const float product = dot_row<kLanes>(first, shared.first + other, thread.lane);
  const float grad = dot_row<kLanes>(second, shared.second + other, thread.lane);
  const PairLogit logit = pair_logit(p, product, shared.bias[at]);
  return {exp_approx(logit.value - lse), shared.gate[at],
          kept ? grad * p.dropout.kept_factor : 0.0f, logit.inside};
}

// ---- backward: gradients of queries and tables -------------------------------------------------

/// The sums of the tables' gradients in shared memory, by warp, class and copy. Rows of a warp may
/// have pairs of the same class at the same time: they add to different copies, or take turns.
template <int kLanes>
struct TableSums {
  using Block = GraphBlock<kLanes>;
  float2* sums;  // of bias and gate
  int class_count, copies;

  __device__ TableSums(const GraphShared<kLanes>& shared, int copies_of_each)
      : sums(reinterpret_cast<float2*>(shared.rest)),
        class_count(shared.class_count),
        copies(copies_of_each) {}
  __device__ float2* of_warp(int warp) { return sums + warp * class_count * copies; }

  __device__ void clear() {
    const int all = static_cast<int>(blockDim.x / kWarp) * class_count * copies;
    for (int i = static_cast<int>(threadIdx.x); i < all; i += static_cast<int>(blockDim.x)) {
      sums[i] = make_float2(0, 0);
    }
  }
  /// By all lanes of a warp.
  __device__ void add(bool exists, const GraphThread<kLanes>& thread, int pair_class, float bias,
                      float gate) {
    float2* mine = of_warp(static_cast<int>(threadIdx.x / kWarp)) + pair_class * copies;
    const int row = thread.row % Block::kRowsPerWarp;
    for (int turn = 0; turn < Block::kRowsPerWarp; turn += copies) {
      if (exists && thread.lane == 0 && row >= turn && row < turn + copies) {
        float2& sum = mine[row - turn];
        sum.x += bias;
        sum.y += gate;
      }
      __syncwarp();
    }
  }
  /// Of one of the block's heads, in a fixed order.
  __device__ float2 total(int head, int pair_class) {
    float2 total = make_float2(0, 0);
    for (int warp = 0; warp < Block::kWarpsPerHead; ++warp) {
      const float2* of_class = of_warp(head * Block::kWarpsPerHead + warp) + pair_class * copies;
      for (int copy = 0; copy < copies; ++copy) {
        total.x += of_class[copy].x;
        total.y += of_class[copy].y;
      }
    }
    return total;
  }
  static size_t bytes(int class_count, int copies) {
    return sizeof(float2) * (kGraphThreads / kWarp) * static_cast<size_t>(class_count * copies);
  }
};

/// Writes a block's sums to its part of the tables' gradients.
template <int kLanes>
__device__ void store_tables(TableSums<kLanes>& tables, const GraphProblem& p, int first_head,
                             int part, float* to) {
  constexpr int kHeads = GraphBlock<kLanes>::kHeads;
  const int64_t size = int64_t{p.class_count} * p.heads;
  const bool gated = p.gate_table != nullptr;
  to += part * size * (gated ? 2 : 1);
  for (int i = static_cast<int>(threadIdx.x); i < kHeads * p.class_count;
       i += static_cast<int>(blockDim.x)) {
    const int head = i % kHeads, pair_class = i / kHeads;
    if (first_head + head >= p.heads) continue;
    const float2 total = tables.total(head, pair_class);
    const int64_t at = int64_t{pair_class} * p.heads + first_head + head;
    to[at] = total.x;
    if (gated) to[size + at] = total.y;
  }
}

/// The gradients of one tile of targets. The first pass through the sources gives the mean, the
/// second gives the gradients. Up to 32 sources stay in shared memory between the two.
template <class T, int kLanes>
__device__ void tile_gradients(const GraphProblem& p, const GraphGradients& g, const Graph& graph,
                               int first_target, int first_head, const GraphShared<kLanes>& shared,
                               TableSums<kLanes>& tables) {
  constexpr int kRows = GraphBlock<kLanes>::kRows, kHead = GraphBlock<kLanes>::kHead;
  const GraphThread<kLanes> thread;
  const int head = first_head + thread.head, node = first_target + thread.row;
  const bool exists = head < p.heads && node < graph.nodes.count;
  const int64_t row = graph.nodes.begin + node, statistics = row * p.heads + head;
  float query[kPerLane], grad_out[kPerLane], grad_query[kPerLane] = {};
  read_lane<T, kLanes>(query, p, p.query, exists, row, head, thread.lane);
  read_lane<T, kLanes>(grad_out, p, g.grad_out, exists, row, head, thread.lane);
  const float lse = exists ? p.lse[statistics] : INFINITY;
  const TargetTerms terms = exists ? target_terms(p, row, head, node) : TargetTerms{0, 0};
  float mean = 0;

  for (int pass = 0; pass < 2; ++pass) {
    for (int first = 0; first < graph.sources.count; first += kOthers) {
      const int count = min(kOthers, graph.sources.count - first);
      const int source = graph.sources.begin + first;
      if (pass == 0 || graph.sources.count > kOthers) {
        __syncthreads();
        stage_rows<T, kLanes>(shared.first, p, p.key, source, count, first_head);
        stage_rows<T, kLanes>(shared.second, p, p.value, source, count, first_head);
        stage_pairs(shared.pairs, p, graph,
                    {first_target, min(kRows, graph.nodes.count - first_target)}, {first, count});
        __syncthreads();
      }
      if (!__any_sync(kAllLanes, exists)) continue;
      const uint32_t kept = draw_kept(p, exists ? count : 0, [&](int s) {
        return weight_element(p, row, head, shared.pairs->nodes[s]);
      });
#pragma unroll 1
      for (int s = 0; s < count; ++s) {
        const int pair_class = shared.pairs->classes[thread.row][s];
        const PairWeights pair = pair_weights<kLanes>(p, shared, thread, query, grad_out, s,
                                                      pair_class, lse, kept >> s & 1);
        if (pass == 0) {
          mean += pair.weight * pair.gate * pair.grad_weight;
          continue;
        }
        const float weight = terms.degree * pair.weight;
        const float grad_bias = weight * (pair.gate * pair.grad_weight - mean);
        const float grad_gate =
            pair.gate * (1 - pair.gate) * (weight * pair.grad_weight + mean * terms.degree_slope);
        tables.add(exists, thread, pair_class, grad_bias, grad_gate);
        add_row<kLanes>(grad_query, pair.inside ? p.scale * grad_bias : 0.0f,
                        shared.first + (thread.head * kOthers + s) * kHead, thread.lane);
      }
    }
  }
  if (!exists) return;
  write_lane<T, kLanes>(grad_query, p, g.grad_query, row, head, thread.lane);
  if (thread.lane == 0) g.means[statistics] = mean;
}

/// A block has a part of the tiles and goes through them one by one.
template <class T, int kLanes>
__global__ void __launch_bounds__(kGraphThreads, 2)
    graph_target_gradients_kernel(const GraphProblem p, const GraphGradients g,
                                  const int tiles_per_part, const int copies) {
  constexpr int kRows = GraphBlock<kLanes>::kRows;
  const GraphShared<kLanes> shared(p);
  const int part = static_cast<int>(blockIdx.x);
  const int first_head = static_cast<int>(blockIdx.y) * GraphBlock<kLanes>::kHeads;
  const int all = static_cast<int>(tile_slots(p.node_count, p.graphs, kRows));
  TableSums<kLanes> tables(shared, copies);
  stage_tables(shared, p, first_head);
  tables.clear();
  for (int i = 0; i < tiles_per_part && part * tiles_per_part + i < all; ++i) {
    const GraphTile tile = find_tile(p.nodes, p.graphs, kRows, part * tiles_per_part + i);
    const Graph graph(p, tile.graph);
    if (tile.first >= graph.nodes.count) continue;
    tile_gradients<T, kLanes>(p, g, graph, tile.first, first_head, shared, tables);
  }
  __syncthreads();
  store_tables(tables, p, first_head, part, g.tables);
}

// ---- backward: gradients of keys and values ----------------------------------------------------

/// What the block's sources need to know of a target.
struct GraphTarget {
  float lse, mean, degree;
};

template <int kLanes>
__device__ void stage_targets(GraphTarget* to, const GraphProblem& p, const GraphGradients& g,
                              const Graph& graph, int first, int count, int first_head) {
  constexpr int kHeads = GraphBlock<kLanes>::kHeads;
  for (int i = static_cast<int>(threadIdx.x); i < kHeads * kOthers;
       i += static_cast<int>(blockDim.x)) {
    const int in_block = i % kHeads, t = i / kHeads, head = first_head + in_block;
    if (t >= count || head >= p.heads) continue;
    const int64_t row = graph.nodes.begin + first + t, at = row * p.heads + head;
    to[in_block * kOthers + t] = {p.lse[at], g.means[at],
                                  target_terms(p, row, head, first + t).degree};
  }
}

template <class T, int kLanes>
__global__ void __launch_bounds__(kGraphThreads, 2)
    graph_source_gradients_kernel(const GraphProblem p, const GraphGradients g) {
  constexpr int kRows = GraphBlock<kLanes>::kRows, kHead = GraphBlock<kLanes>::kHead;
  const GraphTile tile = find_tile(p.sampled, p.graphs, kRows, static_cast<int>(blockIdx.x));
  const Graph graph(p, tile.graph);
  if (tile.first >= graph.sources.count) return;
  const GraphThread<kLanes> thread;
  const GraphShared<kLanes> shared(p);
  auto* targets = reinterpret_cast<GraphTarget*>(shared.rest);
  const int first_head = static_cast<int>(blockIdx.y) * GraphBlock<kLanes>::kHeads;
  const int head = first_head + thread.head, source = tile.first + thread.row;
  const bool exists = head < p.heads && source < graph.sources.count;
  const int64_t row = graph.sources.begin + source;
  stage_tables(shared, p, first_head);
  float key[kPerLane], value[kPerLane], grad_key[kPerLane] = {}, grad_value[kPerLane] = {};
  read_lane<T, kLanes>(key, p, p.key, exists, row, head, thread.lane);
  read_lane<T, kLanes>(value, p, p.value, exists, row, head, thread.lane);
  for (int first = 0; first < graph.nodes.count; first += kOthers) {
    const int count = min(kOthers, graph.nodes.count - first), target = graph.nodes.begin + first;
    __syncthreads();
    stage_rows<T, kLanes>(shared.first, p, p.query, target, count, first_head);
    stage_rows<T, kLanes>(shared.second, p, g.grad_out, target, count, first_head);
    stage_targets<kLanes>(targets, p, g, graph, first, count, first_head);
    stage_pairs(shared.pairs, p, graph, {first, count},
                {tile.first, min(kRows, graph.sources.count - tile.first)});
    __syncthreads();
    if (!__any_sync(kAllLanes, exists)) continue;
    const uint32_t kept = draw_kept(p, exists ? count : 0, [&](int t) {
      return weight_element(p, target + t, head, shared.pairs->nodes[thread.row]);
    });
#pragma unroll 1
    for (int t = 0; t < count; ++t) {
      const GraphTarget of = targets[thread.head * kOthers + t];
      const PairWeights pair =
          pair_weights<kLanes>(p, shared, thread, key, value, t,
                               shared.pairs->classes[t][thread.row], of.lse, kept >> t & 1);
      const float weight = of.degree * pair.weight;
      const float grad_logit = weight * (pair.gate * pair.grad_weight - of.mean);
      const float kept_weight = kept >> t & 1 ? weight * pair.gate * p.dropout.kept_factor : 0.0f;
      const int other = (thread.head * kOthers + t) * kHead;
      add_row<kLanes>(grad_key, pair.inside ? p.scale * grad_logit : 0.0f, shared.first + other,
                      thread.lane);
      add_row<kLanes>(grad_value, kept_weight, shared.second + other, thread.lane);
    }
  }
  if (!exists) return;
  write_lane<T, kLanes>(grad_key, p, g.grad_key, row, head, thread.lane);
  write_lane<T, kLanes>(grad_value, p, g.grad_value, row, head, thread.lane);
}

// ---- dropout -----------------------------------------------------------------------------------

__global__ void __launch_bounds__(kGraphThreads)
    largest_graph_kernel(const int32_t* nodes, const int graphs, int32_t* largest) {
  int most = 0;
  for (int g = static_cast<int>(threadIdx.x); g < graphs; g += kGraphThreads) {
    most = max(most, nodes[g + 1] - nodes[g]);
  }
  most = block_max(most);
  if (threadIdx.x == 0) *largest = most;
}

// ---- launches ----------------------------------------------------------------------------------

/// Calls f with the lanes that a row of a head needs as a constant.
template <class F>
void visit_lanes(int head_size, F&& f) {
  if (head_size <= 16) return f(std::integral_constant<int, 1>{});
  if (head_size <= 32) return f(std::integral_constant<int, 2>{});
  if (head_size <= 64) return f(std::integral_constant<int, 4>{});
  if (head_size <= 128) return f(std::integral_constant<int, 8>{});
  f(std::integral_constant<int, 16>{});
}

template <int kLanes>
int head_groups(const GraphProblem& p) {
  constexpr int kHeads = GraphBlock<kLanes>::kHeads;
  return (p.heads + kHeads - 1) / kHeads;
}

/// A block has no warps for heads that do not exist.
template <int kLanes>
dim3 graph_threads(const GraphProblem& p) {
  using Block = GraphBlock<kLanes>;
  return dim3(
      static_cast<unsigned>(kWarp * Block::kWarpsPerHead * std::min(Block::kHeads, p.heads)));
}

template <int kLanes>
dim3 graph_grid(const GraphProblem& p, int64_t blocks) {
  return dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(head_groups<kLanes>(p)));
}

/// As many copies of the tables' sums as the rows of a warp can use, at most 8, if they fit into
/// shared memory.
template <int kLanes>
int table_copies(const GraphProblem& p) {
  int copies = std::min(8, GraphBlock<kLanes>::kRowsPerWarp);
  while (copies > 1 && GraphShared<kLanes>::bytes(p.class_count) +
                               TableSums<kLanes>::bytes(p.class_count, copies) >
                           kSharedMemoryEverywhere) {
    copies /= 2;
  }
  return copies;
}

}  // namespace

/// Makes about a thousand blocks: enough for any device, and not too many partial tables.
TableParts table_parts(const GraphProblem& p) {
  TableParts result = {};
  visit_lanes(p.head_size, [&](auto lanes) {
    constexpr int kLanes = decltype(lanes)::value;
    const int64_t tiles = tile_slots(p.node_count, p.graphs, GraphBlock<kLanes>::kRows);
    const int64_t most = std::max(1, 1024 / head_groups<kLanes>(p));
    const int64_t tiles_per_part = (tiles + most - 1) / most;
    result = {static_cast<int>((tiles + tiles_per_part - 1) / tiles_per_part),
              static_cast<int>(tiles_per_part)};
  });
  return result;
}

void find_largest_graph(const int32_t* nodes, int graphs, int32_t* largest) {
  launch("graph_attention", largest_graph_kernel, dim3(1), dim3(kGraphThreads), 0, nodes, graphs,
         largest);
}

template <class T>
void graph_attention_forward(const GraphProblem& p) {
  visit_lanes(p.head_size, [&](auto lanes) {
    constexpr int kLanes = decltype(lanes)::value;
    const int64_t tiles = tile_slots(p.node_count, p.graphs, GraphBlock<kLanes>::kRows);
    launch("graph_attention", graph_forward_kernel<T, kLanes>, graph_grid<kLanes>(p, tiles),
           graph_threads<kLanes>(p), GraphShared<kLanes>::bytes(p.class_count), p);
  });
}

template <class T>
void graph_attention_target_gradients(const GraphProblem& p, const GraphGradients& gradients) {
  visit_lanes(p.head_size, [&](auto lanes) {
    constexpr int kLanes = decltype(lanes)::value;
    const TableParts parts = table_parts(p);
    const int copies = table_copies<kLanes>(p);
    launch(
        "graph_attention_backward", graph_target_gradients_kernel<T, kLanes>,
        graph_grid<kLanes>(p, parts.parts), graph_threads<kLanes>(p),
        GraphShared<kLanes>::bytes(p.class_count) + TableSums<kLanes>::bytes(p.class_count, copies),
        p, gradients, parts.tiles_per_part, copies);
  });
}

template <class T>
void graph_attention_source_gradients(const GraphProblem& p, const GraphGradients& gradients) {
  visit_lanes(p.head_size, [&](auto lanes) {
    constexpr int kLanes = decltype(lanes)::value;
    using Block = GraphBlock<kLanes>;
    const int64_t tiles = tile_slots(p.source_count, p.graphs, Block::kRows);
    launch(
        "graph_attention_backward", graph_source_gradients_kernel<T, kLanes>,
        graph_grid<kLanes>(p, tiles), graph_threads<kLanes>(p),
        GraphShared<kLanes>::bytes(p.class_count) + sizeof(GraphTarget) * Block::kHeads * kOthers,
        p, gradients);
  });
}

#define SSA_FOR_DATA(T)                                                                          \
  template void graph_attention_forward<T>(const GraphProblem&);                                 \
  template void graph_attention_target_gradients<T>(const GraphProblem&, const GraphGradients&); \
  template void graph_attention_source_gradients<T>(const GraphProblem&, const GraphGradients&);
SSA_FOR_DATA(float)
SSA_FOR_DATA(BFloat16)
SSA_FOR_DATA(Float16)
#undef SSA_FOR_DATA

}  // namespace ssa::cuda
