// Attention over a source plan, forward: FlashAttention's online softmax (Dao et al. 2022) on the
// gathered sources of one window. Nothing larger than one tile of logits exists.

#include "backend/cpu/kernels/attention_tiles.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

constexpr int64_t kMostTiles = kMostTargets / kTargetTile;
constexpr float kMinusInfinity = -__builtin_inff();

/// What the online softmax knows about each target so far, and the scratch buffers.
struct ForwardState {
  int64_t padded;      // floats of a packed row
  int64_t tile_count;  // of targets
  float* queries;      // (tiles, padded, kTargetTile), scaled and transposed
  float* result;       // (tiles·kTargetTile, padded), not yet divided by total
  float* highest;      // (tiles·kTargetTile)
  float* total;        // (tiles·kTargetTile)
  int32_t* positions;  // (tiles·kTargetTile)
  float* keys;         // (kSourceTile, padded)
  float* values;       // (kSourceTile, padded)
  float* logits;       // (kSourceTile, kTargetTile), then weights
  TargetTile tiles[kMostTiles];

  ForwardState(const AttentionProblem& problem, int64_t targets, Scratch& scratch)
      : padded(packed_size(problem.head_size)),
        tile_count((targets + kTargetTile - 1) / kTargetTile) {
    const int64_t rows = tile_count * kTargetTile;
    queries = scratch.take<float>(rows * padded);
    result = scratch.take<float>(rows * padded);
    highest = scratch.take<float>(rows);
    total = scratch.take<float>(rows);
    positions = scratch.take<int32_t>(rows);
    keys = scratch.take<float>(kSourceTile * padded);
    values = scratch.take<float>(kSourceTile * padded);
    logits = scratch.take<float>(kSourceTile * kTargetTile);
  }
};

int64_t forward_scratch(const AttentionProblem& problem, int64_t targets) {
  Scratch count{nullptr};
  ForwardState(problem, targets, count);
  return count.used;
}

template <class T>
void load_targets(const AttentionProblem& problem, const AttentionSlice& slice,
                  ForwardState& state) {
  const int32_t* targets =
      problem.targets + slice.window * problem.targets_per_window + slice.first_target;
  for (int64_t i = 0; i < state.tile_count; ++i) {
    const int64_t first = i * kTargetTile;
    const int64_t rest = slice.targets - first;
    const TargetTile tile =
        target_tile(problem, slice, targets + first, rest, state.positions + first);
    state.tiles[i] = tile;
    float* rows = state.result + first * state.padded;  // not in use yet
    pack_rows<T>(problem.query, slice, tile.position, tile.count, problem.head_size, problem.scale,
                 rows);
    transpose_tile(tile, rows, state.padded, state.queries + first * state.padded);
  }
  const int64_t rows = state.tile_count * kTargetTile;
  for (int64_t i = 0; i < rows * state.padded; i += kLanes) store(state.result + i, Vec{});
  for (int64_t i = 0; i < rows; i += kLanes) {
    store(state.highest + i, broadcast(kMinusInfinity));
    store(state.total + i, Vec{});
  }
}

/// The highest logit of each of kLanes targets. Four at a time: one chain of maxima would wait for
/// itself.
SSA_INLINE Vec highest_logit(const float* logits, int64_t sources, Vec start) {
  Vec highest[4] = {start, start, start, start};
  int64_t s = 0;
  for (; s + 4 <= sources; s += 4) {
    for (int k = 0; k < 4; ++k) highest[k] = max(highest[k], load(logits + (s + k) * kTargetTile));
  }
  for (; s < sources; ++s) highest[0] = max(highest[0], load(logits + s * kTargetTile));
  return max(max(highest[0], highest[1]), max(highest[2], highest[3]));
}

/// Turns the logits of kLanes targets into weights relative to the new highest logit, and updates
/// `highest` and `total`; returns what earlier results have to be multiplied by.
template <bool kDropout>
SSA_INLINE Vec soften(const AttentionProblem& problem, const AttentionSlice& slice,
                      const TargetTile& targets, const SourceTile& sources, int64_t vector,
                      float* logits, Vec& highest, Vec& total) {
  bias_and_mask(problem, slice, targets, sources, vector, logits);
  const Vec before = highest;
  highest = highest_logit(logits, sources.count, before);
  const Vec reference = highest == kMinusInfinity ? Vec{} : highest;  // nothing visible yet
  Vec sum = {};
  const auto weigh = [&](int64_t s, auto factor) SSA_INLINE_LAMBDA {
    float* place = logits + s * kTargetTile;
    const Vec weight = softmax_weight(load(place) - reference);
    sum += weight;
    store(place, factor(weight));
  };
  if constexpr (kDropout) {
    WeightDropout dropout(problem, slice, targets, vector);
    for (int64_t s = 0; s < sources.count; ++s) {
      weigh(s, [&](Vec weight) { return weight * dropout.factor(sources.position[s]); });
    }
  } else {
    for (int64_t s = 0; s < sources.count; ++s) weigh(s, [](Vec weight) { return weight; });
  }
  const Vec rescale = softmax_weight(before - reference);
  total = total * rescale + sum;
  return rescale;
}

template <bool kDropout>
void soften_tile(const AttentionProblem& problem, const AttentionSlice& slice,
                 const TargetTile& targets, const SourceTile& sources, float* logits,
                 float* highest_of, float* total_of, float* rescale_by) {
  for (int64_t v = 0; v < targets.vectors; ++v) {
    const int64_t first = v * kLanes;
    Vec highest = load(highest_of + first), total = load(total_of + first);
    store(rescale_by + first,
          soften<kDropout>(problem, slice, targets, sources, v, logits + first, highest, total));
    store(highest_of + first, highest);
    store(total_of + first, total);
  }
}

void add_tile(const AttentionProblem& problem, const AttentionSlice& slice,
              const SourceTile& sources, int64_t number, ForwardState& state) {
  const TargetTile& targets = state.tiles[number];
  const int64_t first = number * kTargetTile;
  tile_product(sources.count, targets.vectors, problem.head_size, {state.keys, state.padded, 1},
               {state.queries + first * state.padded, kTargetTile},
               {state.logits, kTargetTile, false});
  alignas(64) float rescale[kTargetTile];
  (problem.dropout ? soften_tile<true> : soften_tile<false>)(problem, slice, targets, sources,
                                                             state.logits, state.highest + first,
                                                             state.total + first, rescale);
  float* result = state.result + first * state.padded;
  for (int64_t t = 0; t < targets.count; ++t) {
    if (rescale[t] == 1.0f) continue;
    float* row = result + t * state.padded;
    for (int64_t d = 0; d < state.padded; d += kLanes) store(row + d, rescale[t] * load(row + d));
  }
  tile_product(targets.count, round_up(problem.head_size, kLanes) / kLanes, sources.count,
               {state.logits, 1, kTargetTile}, {state.values, state.padded},
               {result, state.padded, true});
}

template <class T>
void write_results(const AttentionProblem& problem, const AttentionSlice& slice,
                   const ForwardState& state) {
  float* lse = lse_of(problem, slice);
  for (int64_t t = 0; t < slice.targets; ++t) {
    const int32_t position = state.positions[t];
    const float total = state.total[t];
    const bool empty = total == 0.0f;  // no visible source
    write_row(state.result + t * state.padded, empty ? 0.0f : 1.0f / total, problem.head_size,
              row_of<T>(problem.out, slice, position));
    lse[position] = empty ? kMinusInfinity : state.highest[t] + __builtin_logf(total);
  }
}

template <class T>
void attention_forward(const AttentionProblem& problem, const AttentionSlice& slice,
                       float* memory) {
  Scratch scratch{memory};
  ForwardState state(problem, slice.targets, scratch);
  load_targets<T>(problem, slice, state);
  for (int64_t first = 0; first < problem.sources_per_window; first += kSourceTile) {
    const SourceTile tile = source_tile(problem, slice, first);
    bool packed = false;
    for (int64_t i = 0; i < state.tile_count; ++i) {
      if (is_invisible(problem, state.tiles[i], tile)) continue;
      if (!packed) {
        pack_rows<T>(problem.key, slice, tile.row, tile.count, problem.head_size, 1.0f, state.keys);
        pack_rows<T>(problem.value, slice, tile.row, tile.count, problem.head_size, 1.0f,
                     state.values);
        packed = true;
      }
      add_tile(problem, slice, tile, i, state);
    }
  }
  write_results<T>(problem, slice, state);
}

template <class T>
void fill(AttentionKernels& kernels) {
  kernels.forward_scratch = forward_scratch;
  kernels.forward = attention_forward<T>;
}

}  // namespace

void fill_attention_forward(Kernels& table) {
  fill<float>(table.attention_f32);
  fill<BFloat16>(table.attention_bf16);
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
