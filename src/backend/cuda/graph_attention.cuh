#pragma once

// What the kernels for attention inside graphs share: which tile of which graph a block has, what
// it loads into shared memory, and the logit of a pair.
//
// A block has a tile of one graph's rows (its targets or its sources) and a few heads. It goes
// through the other side of the same graph in tiles of 32 rows, which it loads into shared memory.
// `kLanes` neighbouring threads share a row of a head. Each of them has 16 elements of it: four
// vectors of 4, which are 4·kLanes elements apart. All threads of a warp have the same head and
// read the same row of the other side at the same time, so that shared memory broadcasts it.

#include "backend/cuda/attention.cuh"
#include "backend/cuda/graph_attention.h"
#include "backend/cuda/ptx.h"

namespace ssa::cuda {

inline constexpr int kGraphThreads = 256;
inline constexpr int kOthers = 32;   // rows of a tile of the other side
inline constexpr int kPerLane = 16;  // elements of a head that a thread has

template <int kLanes>
struct GraphBlock {
  static constexpr int kHead = kPerLane * kLanes;  // elements of a head, filled up with zeros
  static constexpr int kRows = kLanes <= 8 ? 32 : 16;
  static constexpr int kHeads = kGraphThreads / (kRows * kLanes);
  static constexpr int kTile = kHeads * kOthers * kHead;  // floats of a tile of the other side
  static constexpr int kWarpsPerHead = kRows * kLanes / kWarp;
  static constexpr int kRowsPerWarp = kWarp / kLanes;
};

/// This thread's place in its block.
template <int kLanes>
struct GraphThread {
  int head, row, lane;  // of the block's heads, of its tile's rows, of those that share the row
  __device__ GraphThread() {
    const int thread = static_cast<int>(threadIdx.x);
    lane = thread % kLanes;
    row = thread / kLanes % GraphBlock<kLanes>::kRows;
    head = thread / kLanes / GraphBlock<kLanes>::kRows;
  }
};

// ---- tiles and graphs --------------------------------------------------------------------------

/// How many slots for tiles a launch needs. The host does not know the graphs' sizes and counts
/// from the tensors' shapes: the slots of graph g begin at offsets[g] / rows_per_tile + g, which
/// leaves room for all of its tiles. A slot that the graph does not need has no rows.
__host__ __device__ inline int64_t tile_slots(int64_t all_rows, int graphs, int rows_per_tile) {
  return all_rows / rows_per_tile + graphs;
}

struct GraphTile {
  int graph, first;  // first row, counted from the graph's first
};

/// The tile in a slot. Each warp searches for the last graph whose slots begin there or before.
__device__ inline GraphTile find_tile(const int32_t* offsets, int graphs, int rows_per_tile,
                                      int slot) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const auto begin = [&](int graph) { return __ldg(offsets + graph) / rows_per_tile + graph; };
  int low = 0, high = graphs;
  while (high - low > 1) {
    const int step = (high - low + kWarp - 1) / kWarp, probe = low + lane * step;
    const bool before = lane == 0 || (probe < high && begin(probe) <= slot);
    low += step * (__popc(__ballot_sync(kAllLanes, before)) - 1);
    high = low + step < high ? low + step : high;
  }
  return {low, (slot - begin(low)) * rows_per_tile};
}

/// Where a graph's rows are.
struct GraphSpan {
  int begin, count;
};

/// Offsets that do not ascend from 0 to `size` are reported, and read as if they did.
__device__ inline GraphSpan graph_span(const GraphProblem& p, const int32_t* offsets, int graph,
                                       int size) {
  const int begin = checked_id(__ldg(offsets + graph), 0, graph == 0 ? 1 : int64_t{size} + 1,
                               Lookup::graph_offsets, graph, p.errors);
  const int lowest = graph + 1 == p.graphs ? size : begin;
  const int end = checked_id(__ldg(offsets + graph + 1), lowest, int64_t{size} + 1,
                             Lookup::graph_offsets, graph + 1, p.errors);
  return {begin, end > begin ? end - begin : 0};
}

struct Graph {
  GraphSpan nodes, sources;
  int first_pair;
  __device__ Graph(const GraphProblem& p, int graph)
      : nodes(graph_span(p, p.nodes, graph, p.node_count)),
        sources(graph_span(p, p.sampled, graph, p.source_count)) {
    const int64_t room = p.pair_count - int64_t{nodes.count} * nodes.count;
    first_pair = checked_id(__ldg(p.pairs + graph), 0, room < 0 ? 0 : room + 1,
                            Lookup::graph_offsets, graph, p.errors);
    if (room < 0) nodes.count = 0;
  }
};

// ---- rows --------------------------------------------------------------------------------------

/// Four elements that one instruction loads or stores.
template <class T>
struct alignas(4 * sizeof(T)) Four {
  using Vector = std::conditional_t<sizeof(T) == 4, float4, uint2>;
  T values[4];
};

/// Elements d … d+3 of a head, with zeros behind its end.
template <class T>
__device__ float4 read_four(const T* head, int d, int size, bool vectors) {
  Four<T> four = {};
  if (vectors && d < size) {
    using Vector = typename Four<T>::Vector;
    store_vector(&four, load_vector<Vector>(head + d));
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (d + e < size) four.values[e] = head[d + e];
    }
  }
  return make_float4(to_float(four.values[0]), to_float(four.values[1]), to_float(four.values[2]),
                     to_float(four.values[3]));
}

template <class T>
__device__ void write_four(T* head, int d, int size, bool vectors, const float* values) {
  Four<T> four;
#pragma unroll
  for (int e = 0; e < 4; ++e) four.values[e] = from_float<T>(values[e]);
  if (vectors && d < size) {
    using Vector = typename Four<T>::Vector;
    store_vector(head + d, load_vector<Vector>(&four));
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (d + e < size) head[d + e] = four.values[e];
    }
  }
}

template <class T>
__device__ T* graph_head(const GraphProblem& p, const GraphRows& rows, int64_t row, int head) {
  return reinterpret_cast<T*>(rows.data) + row * rows.stride + int64_t{head} * p.head_size;
}

/// This thread's elements of a row of a head; zeros for one that does not exist.
template <class T, int kLanes>
__device__ void read_lane(float (&values)[kPerLane], const GraphProblem& p, const GraphRows& rows,
                          bool exists, int64_t row, int head, int lane) {
#pragma unroll
  for (int i = 0; i < kPerLane; i += 4) {
    float4 four = make_float4(0, 0, 0, 0);
    if (exists) {
      four = read_four(graph_head<const T>(p, rows, row, head), kLanes * i + 4 * lane, p.head_size,
                       p.vectors);
    }
    values[i] = four.x;
    values[i + 1] = four.y;
    values[i + 2] = four.z;
    values[i + 3] = four.w;
  }
}

template <class T, int kLanes>
__device__ void write_lane(const float (&values)[kPerLane], const GraphProblem& p,
                           const GraphRows& rows, int64_t row, int head, int lane) {
#pragma unroll
  for (int i = 0; i < kPerLane; i += 4) {
    write_four(graph_head<T>(p, rows, row, head), kLanes * i + 4 * lane, p.head_size, p.vectors,
               values + i);
  }
}

/// The product of this thread's row and another in shared memory, for all lanes of the row.
template <int kLanes>
__device__ float dot_row(const float (&values)[kPerLane], const float* other, int lane) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; i += 4) {
    const auto four = load_vector<float4>(other + kLanes * i + 4 * lane);
    sum = __fmaf_rn(values[i], four.x, sum);
    sum = __fmaf_rn(values[i + 1], four.y, sum);
    sum = __fmaf_rn(values[i + 2], four.z, sum);
    sum = __fmaf_rn(values[i + 3], four.w, sum);
  }
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) sum += __shfl_xor_sync(kAllLanes, sum, mask);
  return sum;
}

/// sums += weight · the other row.
template <int kLanes>
__device__ void add_row(float (&sums)[kPerLane], float weight, const float* other, int lane) {
#pragma unroll
  for (int i = 0; i < kPerLane; i += 4) {
    const auto four = load_vector<float4>(other + kLanes * i + 4 * lane);
    sums[i] = __fmaf_rn(weight, four.x, sums[i]);
    sums[i + 1] = __fmaf_rn(weight, four.y, sums[i + 1]);
    sums[i + 2] = __fmaf_rn(weight, four.z, sums[i + 2]);
    sums[i + 3] = __fmaf_rn(weight, four.w, sums[i + 3]);
  }
}

// ---- shared memory -----------------------------------------------------------------------------

/// The classes of the pairs of a tile, and the nodes that its sources are.
struct TilePairs {
  // Rows are 9 words apart, an odd number, so that the rows of a warp lie in different banks.
  uint8_t classes[32][36];  // by target and source
  int32_t nodes[32];
};

/// A block's shared memory.
template <int kLanes>
struct GraphShared {
  using Block = GraphBlock<kLanes>;
  float *first, *second;  // (kHeads, 32, kHead): keys and values, or queries and grad_out
  float *bias, *gate;     // (kHeads, C): the tables, through the sigmoid
  TilePairs* pairs;
  float* rest;
  int class_count;

  __device__ explicit GraphShared(const GraphProblem& p) : class_count(p.class_count) {
    first = dynamic_shared<float>();
    second = first + Block::kTile;
    pairs = reinterpret_cast<TilePairs*>(second + Block::kTile);
    rest = reinterpret_cast<float*>(pairs + 1);
    bias = rest;
    gate = bias + Block::kHeads * class_count;
    rest = gate + Block::kHeads * class_count;
  }
  static size_t bytes(int class_count) {
    return sizeof(float) *
               (2 * Block::kTile + 2 * Block::kHeads * static_cast<size_t>(class_count)) +
           sizeof(TilePairs);
  }
};

/// Loads the tables' columns of the block's heads.
template <int kLanes>
__device__ void stage_tables(const GraphShared<kLanes>& shared, const GraphProblem& p,
                             int first_head) {
  constexpr int kHeads = GraphBlock<kLanes>::kHeads;
  for (int i = static_cast<int>(threadIdx.x); i < kHeads * p.class_count;
       i += static_cast<int>(blockDim.x)) {
    const int head = i % kHeads, number = i / kHeads;
    if (first_head + head >= p.heads) continue;
    const int64_t from = int64_t{number} * p.heads + first_head + head;
    const int to = head * p.class_count + number;
    shared.bias[to] = __ldg(p.bias_table + from);
    shared.gate[to] = p.gate_table == nullptr ? 1 : 1 / (1 + expf(-__ldg(p.gate_table + from)));
  }
}

/// Loads `count` rows of the block's heads into a tile, and fills it up with zeros.
template <class T, int kLanes>
__device__ void stage_rows(float* tile, const GraphProblem& p, const GraphRows& rows, int first,
                           int count, int first_head) {
  using Block = GraphBlock<kLanes>;
  constexpr int kFours = Block::kHead / 4;
  for (int i = static_cast<int>(threadIdx.x); i < Block::kTile / 4;
       i += static_cast<int>(blockDim.x)) {
    const int d = i % kFours * 4, head = i / kFours % Block::kHeads;
    const int row = i / (kFours * Block::kHeads);
    float4 four = make_float4(0, 0, 0, 0);
    if (row < count && first_head + head < p.heads) {
      four = read_four(graph_head<const T>(p, rows, first + row, first_head + head), d, p.head_size,
                       p.vectors);
    }
    store_vector(tile + (head * kOthers + row) * Block::kHead + d, four);
  }
}

/// Loads the classes of the pairs of up to 32 targets and 32 sources, and the sources' nodes.
/// `targets` and `sources` are counted from the graph's first. A class or a node outside its range
/// is reported and taken for 0.
__device__ inline void stage_pairs(TilePairs* tile, const GraphProblem& p, const Graph& graph,
                                   const GraphSpan& targets, const GraphSpan& sources) {
  const int s = static_cast<int>(threadIdx.x % kWarp);
  const bool is_source = s < sources.count;
  int node = 0;
  if (is_source) {
    const int at = graph.sources.begin + sources.begin + s;
    node = checked_id(__ldg(p.sources + at), 0, graph.nodes.count, Lookup::graph_sources, at,
                      p.errors);
  }
  if (threadIdx.x < kWarp) tile->nodes[s] = node;
  for (int t = static_cast<int>(threadIdx.x / kWarp); t < 32;
       t += static_cast<int>(blockDim.x / kWarp)) {
    int pair_class = 0;
    if (is_source && t < targets.count) {
      const int64_t at = graph.first_pair + int64_t{targets.begin + t} * graph.nodes.count + node;
      pair_class = checked_id(p.classes[at], 0, p.class_count, Lookup::graph_classes, at, p.errors);
    }
    tile->classes[t][s] = static_cast<uint8_t>(pair_class);
  }
}

// ---- pairs -------------------------------------------------------------------------------------

struct PairLogit {
  float value;
  bool inside;  // whether the product is not clipped
};

/// A NaN stays one.
__device__ inline PairLogit pair_logit(const GraphProblem& p, float product, float bias) {
  const float scaled = product * p.scale;
  const float clipped = scaled > p.clip ? p.clip : scaled < -p.clip ? -p.clip : scaled;
  return {clipped + bias, fabsf(scaled) <= p.clip};
}

/// e^x
__device__ inline float exp_approx(float x) { return exp2_approx(x * 1.4426950408889634f); }

/// Bit i: whether weight element_of(i) is kept.
template <class ElementOf>
__device__ uint32_t draw_kept(const GraphProblem& p, int count, ElementOf&& element_of) {
  if (p.dropout.threshold == 0) return ~uint32_t{0};
  uint32_t bits = 0;
#pragma unroll 1  // one copy of the generator
  for (int i = 0; i < count; ++i) {
    bits |= static_cast<uint32_t>(keeps_weight(p.dropout, element_of(i))) << i;
  }
  return bits;
}

/// Element (row of the target, head, node of the source) of the weights.
__device__ inline uint64_t weight_element(const GraphProblem& p, int64_t row, int head, int node) {
  return static_cast<uint64_t>((row * p.heads + head) * __ldg(p.largest) + node);
}

/// What a target's pairs have in common: its degree, and the degree's derivative by a gate.
struct TargetTerms {
  float degree, degree_slope;
};

/// `node` is counted from the graph's first.
__device__ inline TargetTerms target_terms(const GraphProblem& p, int64_t row, int head, int node) {
  if (p.gate_table == nullptr || node < p.virtual_nodes) return {1, 0};
  const float sum = p.gate_sum[row * p.heads + head];
  return {log1pf(sum), 1 / (1 + sum)};
}

}  // namespace ssa::cuda
