// Attention over a source plan on bf16 and AMX, backward: one tile of sources after the other
// against the packed targets of its window. Formulas are in attention_backward.cpp; as there,
// weights are computed again from the log-sum-exps.

#include "backend/cpu/kernels/attention_amx.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

constexpr int64_t kTargets = 128, kSources = 64;  // of a tile

struct BackwardState {
  int64_t padded;  // elements of a packed row
  int64_t rows;    // targets, rounded up to whole tiles
  // Of the targets, in tiles.
  uint32_t* queries_across;   // (tiles, padded / 2, kTargets) words
  uint32_t* query_pairs;      // (rows / 2, padded) words
  uint32_t* grad_out_across;  // (tiles, padded / 2, kTargets) words
  uint32_t* grad_out_pairs;   // (rows / 2, padded) words
  float* grad_queries;        // (tiles, padded, kTargets), not yet scaled
  float* lse;                 // (rows) in units of log 2; +inf where there is no visible source
  float* delta;               // (rows)
  int32_t* positions;         // (rows)
  TargetTile* tiles;
  // Of the sources of one tile.
  uint16_t* keys;         // (kSources, padded)
  uint16_t* keys_across;  // (padded, kSources)
  uint16_t* values;       // (kSources, padded)
  float* grad_keys;       // (kSources, padded), not yet scaled
  float* grad_values;     // (kSources, padded)
  // Of the sources of one tile and kBlock targets.
  float* logits;        // (kSources, kBlock)
  float* grad_weights;  // (kSources, kBlock)
  // Of one tile of each.
  uint16_t* weights;           // (kSources, kTargets), those kept
  uint16_t* grad_logits;       // (kSources, kTargets)
  uint32_t* grad_logit_pairs;  // (kSources / 2, kTargets) words
  // For packing.
  uint16_t* packed_rows;  // (kTargets, padded)
  uint32_t* pairs;        // (kSources / 2, padded) words
  float* grad_rows;       // (kTargets, padded)

  BackwardState(const AttentionProblem& problem, Scratch& scratch)
      : padded(amx_size(problem.head_size)), rows(round_up(problem.targets_per_window, kTargets)) {
    queries_across = scratch.take<uint32_t>(rows / 2 * padded);
    query_pairs = scratch.take<uint32_t>(rows / 2 * padded);
    grad_out_across = scratch.take<uint32_t>(rows / 2 * padded);
    grad_out_pairs = scratch.take<uint32_t>(rows / 2 * padded);
    grad_queries = scratch.take<float>(rows * padded);
    lse = scratch.take<float>(rows);
    delta = scratch.take<float>(rows);
    positions = scratch.take<int32_t>(rows);
    tiles = scratch.take<TargetTile>(rows / kTargets);
    keys = scratch.take<uint16_t>(kSources * padded);
    keys_across = scratch.take<uint16_t>(kSources * padded);
    values = scratch.take<uint16_t>(kSources * padded);
    grad_keys = scratch.take<float>(kSources * padded);
    grad_values = scratch.take<float>(kSources * padded);
    logits = scratch.take<float>(kSources * kBlock);
    grad_weights = scratch.take<float>(kSources * kBlock);
    weights = scratch.take<uint16_t>(kSources * kTargets);
    grad_logits = scratch.take<uint16_t>(kSources * kTargets);
    grad_logit_pairs = scratch.take<uint32_t>(kSources / 2 * kTargets);
    packed_rows = scratch.take<uint16_t>(kTargets * padded);
    pairs = scratch.take<uint32_t>(kSources / 2 * padded);
    grad_rows = scratch.take<float>(kTargets * padded);
  }
};

int64_t backward_scratch(const AttentionProblem& problem) {
  Scratch count{nullptr};
  BackwardState(problem, count);
  return count.used;
}

void fill_zero(float* out, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) store(out + i, Vec{});
}

/// grad_out · out of one target.
SSA_INLINE float dot(const BFloat16* a, const BFloat16* b, int64_t count) {
  Vec sum = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sum += load(a + i) * load(b + i);
  if (i < count) sum += load_part(a + i, count - i) * load_part(b + i, count - i);
  return sum_lanes(sum);
}

void load_targets(const AttentionProblem& problem, const AttentionGradients& gradients,
                  const AttentionSlice& slice, BackwardState& state) {
  const int64_t padded = state.padded, size = problem.head_size;
  const float* lse = lse_of(problem, slice);
  const int32_t* targets = problem.targets + slice.window * problem.targets_per_window;
  const int64_t begin = slice.first_target, end = begin + slice.targets;
  for (int64_t first = begin; first < end; first += kTargets) {
    const TargetTile tile =
        target_tile<kTargets>(problem, slice, targets + first, problem.targets_per_window - first,
                              state.positions + first);
    state.tiles[first / kTargets] = tile;
    const int64_t word = first * padded / 2;
    gather_rows(problem.query, slice, tile.position, tile.count, kTargets, size, state.packed_rows);
    pack_pairs(state.packed_rows, kTargets, padded, state.query_pairs + word);
    transpose_words(state.packed_rows, kTargets, padded / 2, state.queries_across + word, kTargets);
    gather_rows(gradients.grad_out, slice, tile.position, tile.count, kTargets, size,
                state.packed_rows);
    pack_pairs(state.packed_rows, kTargets, padded, state.grad_out_pairs + word);
    transpose_words(state.packed_rows, kTargets, padded / 2, state.grad_out_across + word,
                    kTargets);
    for (int64_t t = 0; t < kTargets; ++t) {
      const int32_t position = tile.position[t];
      const bool empty = t >= tile.count || lse[position] == kMinusInfinity;
      state.lse[first + t] = empty ? __builtin_inff() : lse[position] * kLog2E;
      state.delta[first + t] = empty ? 0.0f
                                     : dot(row_of<BFloat16>(gradients.grad_out, slice, position),
                                           row_of<BFloat16>(problem.out, slice, position), size);
    }
  }
  fill_zero(state.grad_queries + begin * padded, (round_up(end, kTargets) - begin) * padded);
}

void load_sources(const AttentionProblem& problem, const AttentionSlice& slice,
                  const SourceTile& tile, BackwardState& state) {
  const int64_t padded = state.padded, size = problem.head_size;
  gather_rows(problem.key, slice, tile.row, tile.count, kSources, size, state.keys);
  gather_rows(problem.value, slice, tile.row, tile.count, kSources, size, state.values);
  pack_pairs(state.keys, kSources, padded, state.pairs);
  transpose_words(state.pairs, kSources / 2, padded, state.keys_across, kSources / 2);
  fill_zero(state.grad_keys, kSources * padded);
  fill_zero(state.grad_values, kSources * padded);
}

/// Two vectors of 16 targets each, and what they keep over all sources.
struct TargetPair {
  IntVec position[2];
  Vec reference[2];  // log-sum-exp less the targets' part of the bias
  Vec delta[2];
};

/// Of sources s and s + 1 and 32 targets: kept weights and gradients of logits, rounded; with a
/// learned 2-D bias the latter in f32 too, where those of weights were.
template <bool kDropout, bool kMasked>
SSA_INLINE void weigh_pair(const LogitScale& scale, const SourceTile& tile,
                           const SourceBias<kSources>& sources, const TargetPair& targets,
                           WeightDropout* dropout, int64_t s, int64_t lane, BackwardState& state) {
  Halves grad_rows[2];
  for (int64_t k = 0; k < 2; ++k) {
    const int64_t place = (s + k) * kTargets + lane;
    const bool real = s + k < tile.count;
    Vec kept[2], grad[2];
    for (int64_t v = 0; v < 2; ++v) {
      const Vec logit = load(state.logits + (s + k) * kBlock + v * kLanes) * scale.scale +
                        (sources.bias[s + k] - targets.reference[v]);
      const Vec weight = weight_of(
          logit, visible_to<kMasked>(targets.position[v], real ? tile.position[s + k] : 0));
      const Vec grad_weight = load(state.grad_weights + (s + k) * kBlock + v * kLanes);
      if constexpr (kDropout) {
        const Vec factor = real ? dropout[v].factor(tile.position[s + k]) : Vec{};
        kept[v] = factor * weight;
        grad[v] = weight * (factor * grad_weight - targets.delta[v]);
      } else {
        kept[v] = weight;
        grad[v] = weight * (grad_weight - targets.delta[v]);
      }
    }
    if (scale.relative) {
      for (int64_t v = 0; v < 2; ++v) {
        store(state.grad_weights + (s + k) * kBlock + v * kLanes, grad[v]);
      }
    }
    store_bits(state.weights + place, round_both(kept[0], kept[1]));
    grad_rows[k] = round_both(grad[0], grad[1]);
    store_bits(state.grad_logits + place, grad_rows[k]);
  }
  Halves lower, upper;
  pair_up(grad_rows[0], grad_rows[1], lower, upper);
  uint32_t* pairs = state.grad_logit_pairs + s / 2 * kTargets + lane;
  store_bits(pairs, lower);
  store_bits(pairs + kLanes, upper);
}

/// Turns logits of kBlock targets, from `lane` on, into kept weights and gradients of weights into
/// gradients of logits.
template <bool kDropout, bool kMasked>
void weigh_block(const AttentionProblem& problem, const AttentionSlice& slice,
                 const LogitScale& scale, const TargetTile& targets, const SourceTile& tile,
                 const SourceBias<kSources>& sources, int64_t first, int64_t lane,
                 BackwardState& state) {
  const int64_t count = round_up(tile.count, kBlock);
  TargetPair pair;
  for (int64_t v = 0; v < 2; ++v) {
    const int64_t t = lane + v * kLanes;
    pair.position[v] = load_positions(targets.position + t);
    pair.reference[v] =
        load(state.lse + first + t) - target_bias(scale, sources.origin, pair.position[v]);
    pair.delta[v] = load(state.delta + first + t);
  }
  const auto over_sources = [&](WeightDropout* dropout) SSA_INLINE_LAMBDA {
    for (int64_t s = 0; s < count; s += 2) {
      weigh_pair<kDropout, kMasked>(scale, tile, sources, pair, dropout, s, lane, state);
    }
  };
  if constexpr (kDropout) {
    const int64_t vector = lane / kLanes;
    WeightDropout dropout[2] = {{problem, slice, targets, vector},
                                {problem, slice, targets, vector + 1}};
    over_sources(dropout);
  } else {
    over_sources(nullptr);
  }
}

/// All that passes between a tile of sources and the tile of targets that starts at `first`.
void add_tile(const AttentionProblem& problem, const AttentionGradients& gradients,
              const AttentionSlice& slice, const LogitScale& scale, const TargetTile& targets,
              const SourceTile& tile, const SourceBias<kSources>& bias, int64_t first,
              BackwardState& state) {
  const int64_t padded = state.padded, word = first * padded / 2;
  const int64_t sources = round_up(tile.count, kBlock), columns = round_up(targets.count, kBlock);
  const bool masked = problem.causal && tile.highest > targets.lowest;
  for (int64_t lane = 0; lane < columns; lane += kBlock) {
    amx_product(sources, kBlock, padded, {state.keys, padded},
                {state.queries_across + word + lane, kTargets}, {state.logits, kBlock, false});
    amx_product(sources, kBlock, padded, {state.values, padded},
                {state.grad_out_across + word + lane, kTargets},
                {state.grad_weights, kBlock, false});
    for (int64_t v = lane / kLanes; v < (lane + kBlock) / kLanes; ++v) {
      add_pair_terms<kBlock>(problem, slice, scale, targets, tile, v,
                             state.logits + v * kLanes - lane);
    }
    (problem.dropout ? (masked ? weigh_block<true, true> : weigh_block<true, false>)
                     : (masked ? weigh_block<false, true> : weigh_block<false, false>))(
        problem, slice, scale, targets, tile, bias, first, lane, state);
    for (int64_t v = lane / kLanes; v < (lane + kBlock) / kLanes; ++v) {
      add_relative_gradient<kBlock>(problem, gradients, targets, tile, v,
                                    state.grad_weights + v * kLanes - lane);
    }
  }
  if (gradients.of_sources) {
    amx_product(sources, padded, columns, {state.weights, kTargets},
                {state.grad_out_pairs + word, padded}, {state.grad_values, padded, true});
    amx_product(sources, padded, columns, {state.grad_logits, kTargets},
                {state.query_pairs + word, padded}, {state.grad_keys, padded, true});
  }
  if (!gradients.of_queries) return;
  amx_product(padded, columns, sources, {state.keys_across, kSources},
              {state.grad_logit_pairs, kTargets},
              {state.grad_queries + first * padded, kTargets, true});
}

/// Not inlined: a multiplication that the compiler fused with the addition behind it would round
/// differently where windows are added elsewhere.
[[gnu::noinline]] void scale_rows(float factor, int64_t count, float* rows) {
  for (int64_t i = 0; i < count; i += kLanes) store(rows + i, factor * load(rows + i));
}

void write_query_gradients(const AttentionProblem& problem, const AttentionGradients& gradients,
                           const AttentionSlice& slice, BackwardState& state) {
  const int64_t end = slice.first_target + slice.targets;
  for (int64_t first = slice.first_target; first < end; first += kTargets) {
    transpose(state.grad_queries + first * state.padded, kTargets, state.padded, kTargets,
              state.grad_rows, state.padded);
    const int64_t rest = end - first;
    for (int64_t t = 0; t < (rest < kTargets ? rest : kTargets); ++t) {
      write_row(state.grad_rows + t * state.padded, problem.scale, problem.head_size,
                row_of<BFloat16>(gradients.grad_query, slice, state.positions[first + t]));
    }
  }
}

void attention_backward(const AttentionProblem& problem, const AttentionGradients& gradients,
                        const AttentionSlice& slice, const SourceRange& sources, float* memory) {
  const TileSession session;
  Scratch scratch{memory};
  BackwardState state(problem, scratch);
  const LogitScale scale(problem, slice);
  load_targets(problem, gradients, slice, state);
  const int64_t end = slice.first_target + slice.targets;
  for (int64_t s = sources.first; s < sources.first + sources.count; s += kSources) {
    const SourceTile tile = source_tile<kSources>(problem, slice, s);
    load_sources(problem, slice, tile, state);
    const SourceBias<kSources> bias(scale, tile);
    for (int64_t first = slice.first_target; first < end; first += kTargets) {
      const TargetTile& targets = state.tiles[first / kTargets];
      if (!is_invisible(problem, targets, tile)) {
        add_tile(problem, gradients, slice, scale, targets, tile, bias, first, state);
      }
    }
    if (!gradients.of_sources) continue;
    scale_rows(problem.scale, tile.count * state.padded, state.grad_keys);
    add_source_gradients(gradients, tile, gradients.rows + s, problem.head_size,
                         {state.grad_keys, state.padded}, {state.grad_values, state.padded});
  }
  if (gradients.of_queries) write_query_gradients(problem, gradients, slice, state);
}

}  // namespace

void fill_attention_amx_backward(Kernels& table) {
  table.attention_bf16.backward_scratch = backward_scratch;
  table.attention_bf16.backward = attention_backward;
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
