// Attention inside graphs, forward and backward, for one graph and a block of heads.
//
// Heads are in the lanes (lane_product.h). A pair's class is the same for all heads, so that its
// terms are whole vectors of the tables, and the gradients of the tables are sums of whole vectors.

#include <type_traits>

#include "backend/cpu/kernels/attention_tiles.h"
#include "backend/cpu/kernels/lane_product.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// Targets whose pairs are held at a time.
constexpr int64_t kMostGraphTargets = 32;

/// A graph and a block of its heads.
struct GraphHeads {
  int64_t first_row, nodes;       ///< of query and out
  int64_t first_source, sources;  ///< of key and value
  const int32_t* numbers;         ///< of the sources inside the graph
  const uint8_t* classes;         ///< (nodes, nodes)
  HeadBlock heads;
};

SSA_INLINE GraphHeads graph_heads(const GraphAttentionProblem& problem, int64_t graph,
                                  HeadBlock heads) {
  const int64_t row = problem.nodes[graph], source = problem.sampled[graph];
  return {row,
          problem.nodes[graph + 1] - row,
          source,
          problem.sampled[graph + 1] - source,
          problem.sources + source,
          problem.classes + problem.pairs[graph],
          heads};
}

/// Buffers of vectors for a graph and a block of heads: S sources at most, T targets at a time.
struct GraphState {
  float *keys, *values;  // (S, D)
  float* queries;        // (T, D), scaled
  float* logits;         // (T, S): products, then what is left of them
  float* out;            // (T, D)
  float* factors;        // (T)
  // Backward.
  float* grad_out;                 // (T, D)
  float *weights, *grad_weights;   // (T, S)
  float* kept;                     // (T, S), written with dropout
  float *grad_keys, *grad_values;  // (S, D)

  GraphState(const GraphAttentionProblem& problem, bool backward, Scratch& scratch) {
    const int64_t size = problem.head_size, sources = problem.most_sources;
    const int64_t targets = kMostGraphTargets;
    const auto take = [&](int64_t rows, int64_t columns) {
      return scratch.take<float>(rows * columns * kLanes);
    };
    keys = take(sources, size);
    values = take(sources, size);
    queries = take(targets, size);
    logits = take(targets, sources);
    out = take(targets, size);
    factors = take(targets, 1);
    if (!backward) return;
    grad_out = take(targets, size);
    weights = take(targets, sources);
    grad_weights = take(targets, sources);
    kept = take(targets, sources);
    grad_keys = take(sources, size);
    grad_values = take(sources, size);
  }
};

template <bool kBackward>
int64_t graph_scratch(const GraphAttentionProblem& problem) {
  Scratch count{nullptr};
  GraphState(problem, kBackward, count);
  return count.used;
}

template <class T>
SSA_INLINE void pack_sources(const GraphAttentionProblem& problem, const GraphHeads& graph,
                             GraphState& state) {
  pack_heads<T>(problem.key, graph.first_source, graph.sources, graph.heads, problem.head_size,
                1.0f, state.keys);
  pack_heads<T>(problem.value, graph.first_source, graph.sources, graph.heads, problem.head_size,
                1.0f, state.values);
}

/// Products of `count` queries from `first` on with all keys, into state.logits.
template <class T>
SSA_INLINE void multiply_keys(const GraphAttentionProblem& problem, const GraphHeads& graph,
                              int64_t first, int64_t count, GraphState& state) {
  const int64_t size = problem.head_size;
  pack_heads<T>(problem.query, graph.first_row + first, count, graph.heads, size, problem.scale,
                state.queries);
  lane_product(count, graph.sources, size, {state.queries, size, 1}, {state.keys, 1, size},
               {state.logits, graph.sources, 1});
}

SSA_INLINE Vec clip(Vec value, float bound) {
  const Vec highest = broadcast(bound), lowest = broadcast(-bound);
  const Vec above = value < lowest ? lowest : value;
  return above > highest ? highest : above;
}

/// What a target needs of each of its pairs, besides the product.
template <bool kGates, bool kDropout>
struct PairTerms {
  const float *bias, *gate;  // (C, stride), of the block's first head
  const uint8_t* classes;    // of the target's row
  const int32_t* numbers;
  int64_t stride;
  struct None {};
  std::conditional_t<kDropout, WeightDropout, None> dropout;

  static auto words(const GraphAttentionProblem& problem, const GraphHeads& graph, int64_t node) {
    if constexpr (!kDropout) {
      return None{};
    } else {
      const auto row = static_cast<uint64_t>(graph.first_row + node);
      const uint64_t head =
          row * static_cast<uint64_t>(problem.heads) + static_cast<uint64_t>(graph.heads.first);
      const auto most = static_cast<uint64_t>(problem.most_nodes);
      return WeightDropout{*problem.dropout, most % 4 == 0, [&](int64_t lane) {
                             return (head + static_cast<uint64_t>(lane)) * most;
                           }};
    }
  }
  PairTerms(const GraphAttentionProblem& problem, const GraphHeads& graph, int64_t node)
      : bias(problem.bias + graph.heads.first),
        gate(kGates ? problem.gate + graph.heads.first : nullptr),
        classes(graph.classes + node * graph.nodes),
        numbers(graph.numbers),
        stride(problem.table_stride),
        dropout(words(problem, graph, node)) {}

  SSA_INLINE int64_t pair_class(int64_t source) const { return classes[numbers[source]]; }
  SSA_INLINE Vec bias_of(int64_t pair_class) const { return load(bias + pair_class * stride); }
  SSA_INLINE Vec gate_of(int64_t pair_class) const {
    if constexpr (kGates) return load(gate + pair_class * stride);
    return broadcast(1.0f);
  }
  SSA_INLINE Vec kept(int64_t source) {
    if constexpr (kDropout) return dropout.factor(numbers[source]);
    return broadcast(1.0f);
  }
};

/// Calls f.operator()<kGates, kDropout>() with what the problem has.
template <class F>
SSA_INLINE void visit_terms(const GraphAttentionProblem& problem, const F& f) {
  if (problem.gate) {
    problem.dropout ? f.template operator()<true, true>() : f.template operator()<true, false>();
  } else {
    problem.dropout ? f.template operator()<false, true>() : f.template operator()<false, false>();
  }
}

/// Whether a node's output is multiplied by log(1 + Σ gates).
SSA_INLINE bool has_degree(const GraphAttentionProblem& problem, int64_t node) {
  return problem.gate && node >= problem.virtual_nodes;
}

/// Turns a target's products into weights, which lack a factor, and returns the factor. Writes the
/// target's statistics.
template <bool kGates, bool kDropout>
SSA_INLINE Vec weigh_sources(const GraphAttentionProblem& problem, const GraphHeads& graph,
                             int64_t node, float* logits) {
  PairTerms<kGates, kDropout> terms(problem, graph, node);
  Vec highest = broadcast(-__builtin_inff()), total = {}, gate_sum = {};
  for (int64_t s = 0; s < graph.sources; ++s) {
    float* place = logits + s * kLanes;
    const Vec logit = clip(load(place), problem.logit_clip) + terms.bias_of(terms.pair_class(s));
    store(place, logit);
    highest = max(logit, highest);
  }
  for (int64_t s = 0; s < graph.sources; ++s) {
    float* place = logits + s * kLanes;
    const Vec weight = softmax_weight(load(place) - highest);
    const Vec gate = terms.gate_of(terms.pair_class(s));
    total += weight;
    gate_sum += gate;
    store(place, weight * gate * terms.kept(s));
  }
  const int64_t at = (graph.first_row + node) * problem.heads + graph.heads.first;
  const Vec lse = graph.sources > 0 ? highest + log(total) : highest;
  store_lanes(problem.lse + at, lse, graph.heads.count);
  if (kGates) store_lanes(problem.gate_sum + at, gate_sum, graph.heads.count);
  if (graph.sources == 0) return Vec{};
  return (has_degree(problem, node) ? log1p_positive(gate_sum) : broadcast(1.0f)) / total;
}

template <class T>
void forward_heads(const GraphAttentionProblem& problem, const GraphHeads& graph,
                   GraphState& state) {
  const int64_t size = problem.head_size, sources = graph.sources;
  pack_sources<T>(problem, graph, state);
  for (int64_t first = 0; first < graph.nodes; first += kMostGraphTargets) {
    const int64_t rest = graph.nodes - first;
    const int64_t count = rest < kMostGraphTargets ? rest : kMostGraphTargets;
    multiply_keys<T>(problem, graph, first, count, state);
    visit_terms(problem, [&]<bool kGates, bool kDropout>() {
      for (int64_t t = 0; t < count; ++t) {
        store(state.factors + t * kLanes,
              weigh_sources<kGates, kDropout>(problem, graph, first + t,
                                              state.logits + t * sources * kLanes));
      }
    });
    lane_product(count, size, sources, {state.logits, sources, 1}, {state.values, size, 1},
                 {state.out, size, 1});
    for (int64_t t = 0; t < count; ++t) {
      unpack_heads<T>(state.out + t * size * kLanes, load(state.factors + t * kLanes), problem.out,
                      graph.first_row + first + t, graph.heads, size);
    }
  }
}

/// What backward reads and writes of the pairs of a target, and the table sums of its block.
struct PairGradients {
  float* products;      // (S); afterwards their gradients, but for the scale
  float* weights;       // (S), written: what multiplies grad_out in the gradients of values
  float* grad_weights;  // (S): grad_out · value
  float* kept;          // (S), written with dropout
  float *bias_sums, *gate_sums;  // (C, kGraphHeads)
};

SSA_INLINE void add_lanes(float* to, Vec value) { store(to, load(to) + value); }

/// The gradients of a target's pairs. With dw = kept·(grad_out·v):
///   mean = Σ p·g·dw              grad_bias = degree·p·(g·dw - mean)
///   grad_gate = g·(1 - g)·(degree·p·dw + mean/(1 + Σ g))
/// and that of the product is grad_bias where it is not clipped.
template <bool kGates, bool kDropout>
SSA_INLINE void differentiate_pairs(const GraphAttentionProblem& problem, const GraphHeads& graph,
                                    int64_t node, const PairGradients& pairs) {
  PairTerms<kGates, kDropout> terms(problem, graph, node);
  const int64_t at = (graph.first_row + node) * problem.heads + graph.heads.first;
  const Vec lse = load_lanes(problem.lse + at, graph.heads.count);
  Vec degree = broadcast(1.0f), gate_sum = {}, mean = {};
  if (kGates) gate_sum = load_lanes(problem.gate_sum + at, graph.heads.count);
  if (has_degree(problem, node)) degree = log1p_positive(gate_sum);
  for (int64_t s = 0; s < graph.sources; ++s) {
    const int64_t c = terms.pair_class(s);
    const Vec product = load(pairs.products + s * kLanes);
    const Vec logit = clip(product, problem.logit_clip) + terms.bias_of(c);
    const Vec weight = softmax_weight(logit - lse), kept = terms.kept(s);
    const Vec grad = kept * load(pairs.grad_weights + s * kLanes);
    mean += weight * terms.gate_of(c) * grad;
    store(pairs.weights + s * kLanes, degree * weight);
    if (!kDropout) continue;
    store(pairs.grad_weights + s * kLanes, grad);
    store(pairs.kept + s * kLanes, kept);
  }
  const Vec bound = broadcast(problem.logit_clip);
  const Vec grad_sum = has_degree(problem, node) ? mean / (1.0f + gate_sum) : Vec{};
  for (int64_t s = 0; s < graph.sources; ++s) {
    const int64_t c = terms.pair_class(s);
    const Vec weight = load(pairs.weights + s * kLanes), gate = terms.gate_of(c);
    const Vec grad = load(pairs.grad_weights + s * kLanes);
    const Vec product = load(pairs.products + s * kLanes);
    const Vec grad_bias = weight * (gate * grad - mean);
    add_lanes(pairs.bias_sums + c * kGraphHeads, grad_bias);
    if (kGates) {
      add_lanes(pairs.gate_sums + c * kGraphHeads,
                gate * (1.0f - gate) * (weight * grad + grad_sum));
    }
    const Vec below = product <= bound ? grad_bias : Vec{};
    store(pairs.products + s * kLanes, product >= -bound ? below : Vec{});
    const Vec kept = kDropout ? load(pairs.kept + s * kLanes) : broadcast(1.0f);
    store(pairs.weights + s * kLanes, weight * gate * kept);
  }
}

/// Adds to state.grad_keys and grad_values, or overwrites them with those of the first targets.
template <class T>
SSA_INLINE void backward_targets(const GraphAttentionProblem& problem,
                                 const GraphAttentionGradients& gradients, const GraphHeads& graph,
                                 int64_t first, int64_t count, int64_t lane_in_sums,
                                 GraphState& state) {
  const int64_t size = problem.head_size, sources = graph.sources;
  const bool accumulate = first > 0;
  multiply_keys<T>(problem, graph, first, count, state);
  pack_heads<T>(gradients.grad_out, graph.first_row + first, count, graph.heads, size, 1.0f,
                state.grad_out);
  lane_product(count, sources, size, {state.grad_out, size, 1}, {state.values, 1, size},
               {state.grad_weights, sources, 1});
  visit_terms(problem, [&]<bool kGates, bool kDropout>() {
    for (int64_t t = 0; t < count; ++t) {
      const int64_t at = t * sources * kLanes;
      differentiate_pairs<kGates, kDropout>(
          problem, graph, first + t,
          {state.logits + at, state.weights + at, state.grad_weights + at, state.kept + at,
           gradients.bias_sums + lane_in_sums, gradients.gate_sums + lane_in_sums});
    }
  });
  lane_product(sources, size, count, {state.weights, 1, sources}, {state.grad_out, size, 1},
               {state.grad_values, size, 1}, accumulate);
  lane_product(sources, size, count, {state.logits, 1, sources}, {state.queries, size, 1},
               {state.grad_keys, size, 1}, accumulate);
  lane_product(count, size, sources, {state.logits, sources, 1}, {state.keys, size, 1},
               {state.out, size, 1});
  for (int64_t t = 0; t < count; ++t) {
    unpack_heads<T>(state.out + t * size * kLanes, broadcast(problem.scale), gradients.grad_query,
                    graph.first_row + first + t, graph.heads, size);
  }
}

template <class T>
void backward_heads(const GraphAttentionProblem& problem, const GraphAttentionGradients& gradients,
                    const GraphHeads& graph, int64_t lane_in_sums, GraphState& state) {
  const int64_t size = problem.head_size;
  pack_sources<T>(problem, graph, state);
  for (int64_t first = 0; first < graph.nodes; first += kMostGraphTargets) {
    const int64_t rest = graph.nodes - first;
    backward_targets<T>(problem, gradients, graph, first,
                        rest < kMostGraphTargets ? rest : kMostGraphTargets, lane_in_sums, state);
  }
  for (int64_t s = 0; s < graph.sources; ++s) {
    const int64_t at = s * size * kLanes, row = graph.first_source + s;
    unpack_heads<T>(state.grad_keys + at, broadcast(1.0f), gradients.grad_key, row, graph.heads,
                    size);
    unpack_heads<T>(state.grad_values + at, broadcast(1.0f), gradients.grad_value, row, graph.heads,
                    size);
  }
}

/// Calls f(graph and heads, where they begin inside the slice) for kLanes heads of a slice at a
/// time.
template <class F>
SSA_INLINE void for_each_block(const GraphAttentionProblem& problem, const GraphSlice& slice,
                               const F& f) {
  for (int64_t h = 0; h < slice.heads; h += kLanes) {
    const int64_t rest = slice.heads - h;
    const HeadBlock heads{slice.first_head + h, rest < kLanes ? rest : kLanes};
    f(graph_heads(problem, slice.graph, heads), h);
  }
}

template <class T>
void graph_forward(const GraphAttentionProblem& problem, const GraphSlice& slice, float* memory) {
  Scratch scratch{memory};
  GraphState state(problem, false, scratch);
  for_each_block(problem, slice, [&](const GraphHeads& graph, int64_t) {
    forward_heads<T>(problem, graph, state);
  });
}

template <class T>
void graph_backward(const GraphAttentionProblem& problem, const GraphAttentionGradients& gradients,
                    const GraphSlice& slice, float* memory) {
  Scratch scratch{memory};
  GraphState state(problem, true, scratch);
  for_each_block(problem, slice, [&](const GraphHeads& graph, int64_t lane_in_sums) {
    backward_heads<T>(problem, gradients, graph, lane_in_sums, state);
  });
}

template <class T>
void fill(GraphAttentionKernels& kernels) {
  kernels.forward_scratch = graph_scratch<false>;
  kernels.forward = graph_forward<T>;
  kernels.backward_scratch = graph_scratch<true>;
  kernels.backward = graph_backward<T>;
}

}  // namespace

void fill_graph_attention(Kernels& table) {
  fill<float>(table.graph_attention_f32);
  fill<BFloat16>(table.graph_attention_bf16);
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
