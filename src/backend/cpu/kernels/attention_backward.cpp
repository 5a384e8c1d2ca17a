// Attention over a source plan, backward: weights are computed again from the log-sum-exps, tile
// by tile (Dao et al. 2022, algorithm 4).
//
// With weights p = exp(logit - lse), dropout factors c, dp_ij = c_ij · (grad_out_i · v_j) and
// delta_i = Σ_j p_ij·dp_ij = grad_out_i · out_i:
//   grad_v_j = Σ_i c_ij·p_ij·grad_out_i       dlogit_ij = p_ij · (dp_ij - delta_i)
//   grad_q_i = scale · Σ_j dlogit_ij·k_j      grad_k_j = scale · Σ_i dlogit_ij·q_i

#include "backend/cpu/kernels/attention_tiles.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// All of a window's targets, packed once, and one tile of its sources.
struct BackwardState {
  int64_t padded;  // floats of a packed row
  int64_t rows;    // targets, rounded up to whole tiles
  // Of the targets, in tiles.
  float* queries;          // (rows, padded), scaled
  float* queries_across;   // (tiles, padded, kTargetTile)
  float* grad_out;         // (rows, padded)
  float* grad_out_across;  // (tiles, padded, kTargetTile)
  float* grad_queries;     // (rows, padded)
  float* lse;              // (rows); +inf where there is no visible source
  float* delta;            // (rows)
  int32_t* positions;      // (rows)
  // Of the sources of one tile.
  float* keys;         // (kSourceTile, padded)
  float* values;       // (kSourceTile, padded)
  float* grad_keys;    // (kSourceTile, padded)
  float* grad_values;  // (kSourceTile, padded)
  // Of one tile of each.
  float* logits;        // (kSourceTile, kTargetTile), then kept weights
  float* grad_weights;  // (kSourceTile, kTargetTile), then gradients of the logits

  BackwardState(const AttentionProblem& problem, Scratch& scratch)
      : padded(packed_size(problem.head_size)),
        rows(round_up(problem.targets_per_window, kTargetTile)) {
    queries = scratch.take<float>(rows * padded);
    queries_across = scratch.take<float>(rows * padded);
    grad_out = scratch.take<float>(rows * padded);
    grad_out_across = scratch.take<float>(rows * padded);
    grad_queries = scratch.take<float>(rows * padded);
    lse = scratch.take<float>(rows);
    delta = scratch.take<float>(rows);
    positions = scratch.take<int32_t>(rows);
    keys = scratch.take<float>(kSourceTile * padded);
    values = scratch.take<float>(kSourceTile * padded);
    grad_keys = scratch.take<float>(kSourceTile * padded);
    grad_values = scratch.take<float>(kSourceTile * padded);
    logits = scratch.take<float>(kSourceTile * kTargetTile);
    grad_weights = scratch.take<float>(kSourceTile * kTargetTile);
  }
};

int64_t backward_scratch(const AttentionProblem& problem) {
  Scratch count{nullptr};
  BackwardState(problem, count);
  return count.used;
}

template <class T>
SSA_INLINE float dot(const float* a, const T* b, int64_t count) {
  Vec sum = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sum += load(a + i) * load(b + i);
  if (i < count) sum += load_part(a + i, count - i) * load_part(b + i, count - i);
  return sum_lanes(sum);
}

/// The tile that starts at target `first`; its positions are in state.positions after the first
/// call.
TargetTile tile_at(const AttentionProblem& problem, const AttentionSlice& slice, int64_t first,
                   BackwardState& state) {
  const int64_t rest = problem.targets_per_window - first;
  return target_tile(problem, slice,
                     problem.targets + slice.window * problem.targets_per_window + first, rest,
                     state.positions + first);
}

template <class T>
void load_targets(const AttentionProblem& problem, const AttentionGradients& gradients,
                  const AttentionSlice& slice, BackwardState& state) {
  const int64_t padded = state.padded;
  const float* lse = lse_of(problem, slice);
  const int64_t begin = slice.first_target, end = begin + slice.targets;
  for (int64_t first = begin; first < end; first += kTargetTile) {
    const TargetTile tile = tile_at(problem, slice, first, state);
    pack_rows<T>(problem.query, slice, tile.position, tile.count, problem.head_size, problem.scale,
                 state.queries + first * padded);
    pack_rows<T>(gradients.grad_out, slice, tile.position, tile.count, problem.head_size, 1.0f,
                 state.grad_out + first * padded);
    transpose_tile(tile, state.queries + first * padded, padded,
                   state.queries_across + first * padded);
    transpose_tile(tile, state.grad_out + first * padded, padded,
                   state.grad_out_across + first * padded);
    for (int64_t t = 0; t < kTargetTile; ++t) {
      const int32_t position = tile.position[t];
      const bool empty = t >= tile.count || lse[position] == -__builtin_inff();
      state.lse[first + t] = empty ? __builtin_inff() : lse[position];
      state.delta[first + t] =
          empty ? 0.0f
                : dot(state.grad_out + (first + t) * padded,
                      row_of<T>(problem.out, slice, position), problem.head_size);
    }
  }
  const int64_t last = round_up(end, kTargetTile) * padded;
  for (int64_t i = begin * padded; i < last; i += kLanes) store(state.grad_queries + i, Vec{});
}

/// Turns logits into kept weights and gradients of weights into gradients of logits.
template <bool kDropout>
void weigh_tile(const AttentionProblem& problem, const AttentionSlice& slice,
                const TargetTile& targets, const SourceTile& sources, const float* lse_of_target,
                const float* delta_of_target, float* logits, float* grad_weights) {
  for (int64_t v = 0; v < targets.vectors; ++v) {
    bias_and_mask(problem, slice, targets, sources, v, logits + v * kLanes);
    const Vec lse = load(lse_of_target + v * kLanes), delta = load(delta_of_target + v * kLanes);
    const auto weigh = [&](int64_t s, auto factor) SSA_INLINE_LAMBDA {
      float* logit = logits + s * kTargetTile + v * kLanes;
      float* grad = grad_weights + s * kTargetTile + v * kLanes;
      const Vec weight = softmax_weight(load(logit) - lse);
      const Vec kept = factor(sources.position[s]);
      store(grad, weight * (kept * load(grad) - delta));
      store(logit, kept * weight);
    };
    if constexpr (kDropout) {
      WeightDropout dropout(problem, slice, targets, v);
      for (int64_t s = 0; s < sources.count; ++s) {
        weigh(s, [&](int32_t source) { return dropout.factor(source); });
      }
    } else {
      for (int64_t s = 0; s < sources.count; ++s) {
        weigh(s, [](int32_t) { return broadcast(1.0f); });
      }
    }
  }
}

void add_tile(const AttentionProblem& problem, const AttentionGradients& gradients,
              const AttentionSlice& slice, const TargetTile& targets, const SourceTile& sources,
              int64_t first, BackwardState& state) {
  const int64_t padded = state.padded, size = problem.head_size;
  const int64_t size_vectors = round_up(size, kLanes) / kLanes;
  const float* queries = state.queries + first * padded;
  const float* grad_out = state.grad_out + first * padded;
  tile_product(sources.count, targets.vectors, size, {state.keys, padded, 1},
               {state.queries_across + first * padded, kTargetTile},
               {state.logits, kTargetTile, false});
  tile_product(sources.count, targets.vectors, size, {state.values, padded, 1},
               {state.grad_out_across + first * padded, kTargetTile},
               {state.grad_weights, kTargetTile, false});
  (problem.dropout ? weigh_tile<true> : weigh_tile<false>)(problem, slice, targets, sources,
                                                           state.lse + first, state.delta + first,
                                                           state.logits, state.grad_weights);
  for (int64_t v = 0; v < targets.vectors; ++v) {
    add_relative_gradient<kTargetTile>(problem, gradients, targets, sources, v,
                                       state.grad_weights + v * kLanes);
  }
  if (gradients.of_sources) {
    tile_product(sources.count, size_vectors, targets.count, {state.logits, kTargetTile, 1},
                 {grad_out, padded}, {state.grad_values, padded, true});
    tile_product(sources.count, size_vectors, targets.count, {state.grad_weights, kTargetTile, 1},
                 {queries, padded}, {state.grad_keys, padded, true});
  }
  if (!gradients.of_queries) return;
  tile_product(targets.count, size_vectors, sources.count, {state.grad_weights, 1, kTargetTile},
               {state.keys, padded}, {state.grad_queries + first * padded, padded, true});
}

template <class T>
void load_sources(const AttentionProblem& problem, const AttentionSlice& slice,
                  const SourceTile& tile, BackwardState& state) {
  pack_rows<T>(problem.key, slice, tile.row, tile.count, problem.head_size, 1.0f, state.keys);
  pack_rows<T>(problem.value, slice, tile.row, tile.count, problem.head_size, 1.0f, state.values);
  for (int64_t i = 0; i < tile.count * state.padded; i += kLanes) {
    store(state.grad_keys + i, Vec{});
    store(state.grad_values + i, Vec{});
  }
}

template <class T>
void attention_backward(const AttentionProblem& problem, const AttentionGradients& gradients,
                        const AttentionSlice& slice, const SourceRange& sources, float* memory) {
  Scratch scratch{memory};
  BackwardState state(problem, scratch);
  load_targets<T>(problem, gradients, slice, state);
  const int64_t end = slice.first_target + slice.targets;
  for (int64_t s = sources.first; s < sources.first + sources.count; s += kSourceTile) {
    const SourceTile tile = source_tile(problem, slice, s);
    load_sources<T>(problem, slice, tile, state);
    for (int64_t first = slice.first_target; first < end; first += kTargetTile) {
      const TargetTile targets = tile_at(problem, slice, first, state);
      if (!is_invisible(problem, targets, tile)) {
        add_tile(problem, gradients, slice, targets, tile, first, state);
      }
    }
    if (!gradients.of_sources) continue;
    add_source_gradients(gradients, tile, gradients.rows + s, problem.head_size,
                         {state.grad_keys, state.padded}, {state.grad_values, state.padded});
  }
  for (int64_t t = slice.first_target; t < end && gradients.of_queries; ++t) {
    write_row(state.grad_queries + t * state.padded, problem.scale, problem.head_size,
              row_of<T>(gradients.grad_query, slice, state.positions[t]));
  }
}

template <class T>
void write_sum(const float* sum, void* out, int64_t count) {
  write_row(sum, 1.0f, count, static_cast<T*>(out));
}

template <class T>
void fill(AttentionKernels& kernels) {
  kernels.backward_scratch = backward_scratch;
  kernels.backward = attention_backward<T>;
  kernels.write_row = write_sum<T>;
}

}  // namespace

void fill_attention_backward(Kernels& table) {
  fill<float>(table.attention_f32);
  fill<BFloat16>(table.attention_bf16);
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
