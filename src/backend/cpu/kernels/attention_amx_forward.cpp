// Attention over a source plan on bf16 and AMX, forward: one tile of targets after the other
// against the packed keys and values of its window. The method is that of attention_forward.cpp.

#include "backend/cpu/kernels/attention_amx.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

constexpr int64_t kTargets = 32, kSources = 64;  // of a tile

struct ForwardState {
  int64_t padded;  // elements of a packed row
  // Of the sources.
  SourceTile* tiles;
  uint16_t* keys;           // (tiles, kSources, padded)
  uint16_t* values_across;  // (tiles, padded, kSources)
  // Of one tile of targets.
  uint32_t* queries_across;  // (padded / 2, kTargets) words
  float* result;             // (padded, kTargets), not yet divided by total
  float* highest;            // (kTargets), what weights are relative to, in units of log 2
  float* total;              // (kTargets)
  int32_t* positions;        // (kTargets)
  // Of one tile of each.
  float* logits;      // (kSources, kTargets)
  uint32_t* weights;  // (kSources / 2, kTargets) words
  // For packing.
  uint16_t* rows;   // (kTargets or kSources, padded)
  uint32_t* pairs;  // (kSources / 2, padded) words
  float* out;       // (kTargets, padded)

  ForwardState(const AttentionProblem& problem, Scratch& scratch)
      : padded(amx_size(problem.head_size)) {
    const int64_t sources = round_up(problem.sources_per_window, kSources);
    tiles = scratch.take<SourceTile>(sources / kSources);
    keys = scratch.take<uint16_t>(sources * padded);
    values_across = scratch.take<uint16_t>(sources * padded);
    queries_across = scratch.take<uint32_t>(padded / 2 * kTargets);
    result = scratch.take<float>(padded * kTargets);
    highest = scratch.take<float>(kTargets);
    total = scratch.take<float>(kTargets);
    positions = scratch.take<int32_t>(kTargets);
    logits = scratch.take<float>(kSources * kTargets);
    weights = scratch.take<uint32_t>(kSources / 2 * kTargets);
    rows = scratch.take<uint16_t>((kTargets > kSources ? kTargets : kSources) * padded);
    pairs = scratch.take<uint32_t>(kSources / 2 * padded);
    out = scratch.take<float>(kTargets * padded);
  }
};

int64_t forward_scratch(const AttentionProblem& problem, int64_t) {
  Scratch count{nullptr};
  ForwardState(problem, count);
  return count.used;
}

/// Packs the sources that the slice's targets may see.
void load_sources(const AttentionProblem& problem, const AttentionSlice& slice,
                  ForwardState& state) {
  const int64_t size = problem.head_size;
  int32_t lowest, highest;
  find_range(problem.targets + slice.window * problem.targets_per_window + slice.first_target,
             slice.targets, lowest, highest);
  for (int64_t first = 0; first < problem.sources_per_window; first += kSources) {
    const SourceTile tile = source_tile<kSources>(problem, slice, first);
    state.tiles[first / kSources] = tile;
    if (problem.causal && tile.lowest > highest) continue;
    gather_rows(problem.key, slice, tile.row, tile.count, kSources, size,
                state.keys + first * state.padded);
    gather_rows(problem.value, slice, tile.row, tile.count, kSources, size, state.rows);
    pack_pairs(state.rows, kSources, state.padded, state.pairs);
    transpose_words(state.pairs, kSources / 2, state.padded,
                    state.values_across + first * state.padded, kSources / 2);
  }
}

TargetTile load_targets(const AttentionProblem& problem, const AttentionSlice& slice, int64_t first,
                        ForwardState& state) {
  const int64_t number = slice.window * problem.targets_per_window + slice.first_target + first;
  const int64_t rest = slice.targets - first;
  const TargetTile tile =
      target_tile<kTargets>(problem, slice, problem.targets + number, rest, state.positions);
  gather_rows(problem.query, slice, tile.position, tile.count, kTargets, problem.head_size,
              state.rows);
  transpose_words(state.rows, kTargets, state.padded / 2, state.queries_across, kTargets);
  for (int64_t t = 0; t < kTargets; t += kLanes) {
    store(state.highest + t, broadcast(kMinusInfinity));
    store(state.total + t, Vec{});
  }
  return tile;
}

/// The highest of `sources` logits of 16 targets, without the targets' part of the bias.
template <bool kMasked>
SSA_INLINE Vec highest_logit(const LogitScale& scale, const SourceTile& tile,
                             const SourceBias<kSources>& sources, int64_t count, IntVec target,
                             const float* logits) {
  Vec highest[4];
  for (Vec& lanes : highest) lanes = broadcast(kMinusInfinity);
  for (int64_t s = 0; s < count; s += 4) {
    for (int64_t k = 0; k < 4; ++k) {
      const Vec logit = load(logits + (s + k) * kTargets) * scale.scale + sources.bias[s + k];
      if constexpr (kMasked) {
        if (s + k >= tile.count) break;
        const __mmask16 visible = visible_to<true>(target, tile.position[s + k]);
        highest[k] = reinterpret_cast<Vec>(_mm512_mask_max_ps(
            reinterpret_cast<__m512>(highest[k]), visible, reinterpret_cast<__m512>(logit),
            reinterpret_cast<__m512>(highest[k])));
      } else {
        highest[k] = max(highest[k], logit);
      }
    }
  }
  return max(max(highest[0], highest[1]), max(highest[2], highest[3]));
}

/// Turns the logits of 16 targets into pairs of weights, and updates `highest` and `total`; returns
/// what earlier results have to be multiplied by. Weights need not be at most 1: `highest` stays
/// until logits exceed it by more than kSlack, since rescaling costs more than large weights.
template <bool kDropout, bool kMasked>
SSA_INLINE Vec soften(const AttentionProblem& problem, const AttentionSlice& slice,
                      const LogitScale& scale, const TargetTile& targets, const SourceTile& tile,
                      const SourceBias<kSources>& sources, int64_t vector, ForwardState& state) {
  constexpr float kSlack = 8.0f;
  const int64_t lane = vector * kLanes, count = round_up(tile.count, kBlock);
  const float* logits = state.logits + lane;
  uint32_t* weights = state.weights + lane;
  const IntVec target = load_positions(targets.position + lane);
  const Vec bias = target_bias(scale, sources.origin, target);
  const Vec before = load(state.highest + lane);
  const Vec here = highest_logit<kMasked>(scale, tile, sources, count, target, logits) + bias;
  const Vec highest = here > before + kSlack ? here : before;
  const Vec known = highest == kMinusInfinity ? Vec{} : highest;  // nothing visible yet
  const Vec reference = known - bias;
  Vec sums[2] = {};
  const auto weigh = [&](int64_t s, int64_t k) SSA_INLINE_LAMBDA {
    const Vec offset = sources.bias[s + k] - reference;
    const Vec weight =
        weight_of(load(logits + (s + k) * kTargets) * scale.scale + offset,
                  visible_to<kMasked>(target, s + k < tile.count ? tile.position[s + k] : 0));
    sums[k] += weight;
    return weight;
  };
  const auto over_sources = [&](auto pair) SSA_INLINE_LAMBDA {
    for (int64_t s = 0; s < count; s += 2) store_bits(weights + s / 2 * kTargets, pair(s));
  };
  if constexpr (kDropout) {
    WeightDropout dropout(problem, slice, targets, vector);
    const auto keep = [&](int64_t s, int64_t k) SSA_INLINE_LAMBDA {
      const Vec weight = weigh(s, k);
      return s + k < tile.count ? weight * dropout.factor(tile.position[s + k]) : weight;
    };
    over_sources([&](int64_t s) SSA_INLINE_LAMBDA {
      const Vec even = keep(s, 0);
      return round_pairs(even, keep(s, 1));
    });
  } else {
    over_sources([&](int64_t s) SSA_INLINE_LAMBDA {
      const Vec even = weigh(s, 0);
      return round_pairs(even, weigh(s, 1));
    });
  }
  const Vec rescale = before == known ? broadcast(1.0f) : weight_of(before - known, 0xffff);
  store(state.highest + lane, highest);
  store(state.total + lane, load(state.total + lane) * rescale + (sums[0] + sums[1]));
  return rescale;
}

template <bool kDropout, bool kMasked>
void soften_tile(const AttentionProblem& problem, const AttentionSlice& slice,
                 const LogitScale& scale, const TargetTile& targets, const SourceTile& tile,
                 ForwardState& state) {
  const SourceBias<kSources> sources(scale, tile);
  for (int64_t v = 0; v < kTargets / kLanes; ++v) {
    const Vec rescale =
        soften<kDropout, kMasked>(problem, slice, scale, targets, tile, sources, v, state);
    const bool unchanged = _mm512_cmp_ps_mask(reinterpret_cast<__m512>(rescale),
                                              _mm512_set1_ps(1.0f), _CMP_NEQ_UQ) == 0;
    if (unchanged) continue;
    float* result = state.result + v * kLanes;
    for (int64_t d = 0; d < state.padded; ++d) {
      store(result + d * kTargets, load(result + d * kTargets) * rescale);
    }
  }
}

void add_tile(const AttentionProblem& problem, const AttentionSlice& slice, const LogitScale& scale,
              const TargetTile& targets, const SourceTile& tile, int64_t first,
              ForwardState& state) {
  const int64_t sources = round_up(tile.count, kBlock), padded = state.padded;
  amx_product(sources, kTargets, padded, {state.keys + first * padded, padded},
              {state.queries_across, kTargets}, {state.logits, kTargets, false});
  for (int64_t v = 0; v < kTargets / kLanes; ++v) {
    add_pair_terms<kTargets>(problem, slice, scale, targets, tile, v, state.logits + v * kLanes);
  }
  const bool masked = problem.causal && tile.highest > targets.lowest;
  (problem.dropout ? (masked ? soften_tile<true, true> : soften_tile<true, false>)
                   : (masked ? soften_tile<false, true> : soften_tile<false, false>))(
      problem, slice, scale, targets, tile, state);
  amx_product(padded, kTargets, sources, {state.values_across + first * padded, kSources},
              {state.weights, kTargets}, {state.result, kTargets, true});
}

void write_results(const AttentionProblem& problem, const AttentionSlice& slice,
                   const TargetTile& targets, ForwardState& state) {
  for (int64_t t = 0; t < kTargets; t += kLanes) {
    const Vec total = load(state.total + t);
    const Vec factor = total == 0.0f ? Vec{} : 1.0f / total;  // 0: no visible source
    for (int64_t d = 0; d < state.padded; ++d) {
      float* place = state.result + d * kTargets + t;
      store(place, load(place) * factor);
    }
  }
  transpose(state.result, kTargets, state.padded, kTargets, state.out, state.padded);
  float* lse = lse_of(problem, slice);
  for (int64_t t = 0; t < targets.count; ++t) {
    const int32_t position = targets.position[t];
    write_row(state.out + t * state.padded, 1.0f, problem.head_size,
              row_of<BFloat16>(problem.out, slice, position));
    lse[position] = state.total[t] == 0.0f
                        ? kMinusInfinity
                        : state.highest[t] * kLn2 + __builtin_logf(state.total[t]);
  }
}

void attention_forward(const AttentionProblem& problem, const AttentionSlice& slice,
                       float* memory) {
  const TileSession session;
  Scratch scratch{memory};
  ForwardState state(problem, scratch);
  const LogitScale scale(problem, slice);
  load_sources(problem, slice, state);
  for (int64_t t = 0; t < slice.targets; t += kTargets) {
    const TargetTile targets = load_targets(problem, slice, t, state);
    for (int64_t i = 0; i < state.padded * kTargets; i += kLanes) store(state.result + i, Vec{});
    for (int64_t s = 0; s < problem.sources_per_window; s += kSources) {
      const SourceTile& tile = state.tiles[s / kSources];
      if (!is_invisible(problem, targets, tile)) {
        add_tile(problem, slice, scale, targets, tile, s, state);
      }
    }
    write_results(problem, slice, targets, state);
  }
}

}  // namespace

void fill_attention_amx_forward(Kernels& table) {
  table.attention_bf16.forward_scratch = forward_scratch;
  table.attention_bf16.forward = attention_forward;
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
