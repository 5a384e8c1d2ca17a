#pragma once

// What the forward and the backward attention kernel share: gathering the rows of a window into
// tiles, and logits of a tile.
//
// Logits are kept transposed, (sources, targets), with targets in the lanes: the softmax is then
// plain vector arithmetic, keys and values are used as they lie, and only queries are transposed.

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/tile_product.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

constexpr int64_t kTargetTile = 64;
constexpr int64_t kSourceTile = 64;

SSA_INLINE float* row_of(const HeadRows& rows, const AttentionSlice& slice, int64_t position) {
  return rows.data + slice.batch * rows.batch_stride + position * rows.row_stride +
         slice.head * rows.head_stride;
}

SSA_INLINE float* lse_of(const AttentionProblem& problem, const AttentionSlice& slice) {
  return problem.lse + (slice.batch * problem.heads + slice.head) * problem.length;
}

/// Floats of a packed row: a multiple of every kLanes.
constexpr int64_t packed_size(int64_t head_size) { return round_up(head_size, 16); }

/// Hands out 64-byte aligned parts of a scratch buffer.
struct Scratch {
  float* next;
  float* take(int64_t floats) {
    float* part = next;
    next += round_up(floats, 16);
    return part;
  }
};

/// out = factor · in, with zeros from `count` to `padded`.
SSA_INLINE void pack_row(const float* in, int64_t count, float factor, int64_t padded, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, factor * load(in + i));
  if (i < count) {
    store(out + i, factor * load_part(in + i, count - i));
    i += kLanes;
  }
  for (; i < padded; i += kLanes) store(out + i, Vec{});
}

/// Gathers the rows at `positions` into (count, padded).
SSA_INLINE void pack_rows(const HeadRows& rows, const AttentionSlice& slice,
                          const int32_t* positions, int64_t count, int64_t head_size, float factor,
                          float* out) {
  const int64_t padded = packed_size(head_size);
  for (int64_t i = 0; i < count; ++i) {
    pack_row(row_of(rows, slice, positions[i]), head_size, factor, padded, out + i * padded);
  }
}

/// Up to kTargetTile targets.
struct TargetTile {
  int64_t count;
  int64_t vectors;          ///< count / kLanes, rounded up
  const int32_t* position;  ///< (kTargetTile), padded with the last one
  int32_t lowest, highest;
};

/// Up to kSourceTile sources.
struct SourceTile {
  int64_t count;
  const int32_t* position;
  int32_t lowest, highest;
};

SSA_INLINE void find_range(const int32_t* position, int64_t count, int32_t& lowest,
                           int32_t& highest) {
  lowest = highest = position[0];
  for (int64_t i = 1; i < count; ++i) {
    lowest = position[i] < lowest ? position[i] : lowest;
    highest = position[i] > highest ? position[i] : highest;
  }
}

SSA_INLINE SourceTile source_tile(const int32_t* sources, int64_t first, int64_t sources_total) {
  const int64_t rest = sources_total - first;
  SourceTile tile{rest < kSourceTile ? rest : kSourceTile, sources + first, 0, 0};
  find_range(tile.position, tile.count, tile.lowest, tile.highest);
  return tile;
}

/// Copies the positions of up to kTargetTile targets to `padded_positions` (kTargetTile).
SSA_INLINE TargetTile target_tile(const int32_t* targets, int64_t count,
                                  int32_t* padded_positions) {
  for (int64_t t = 0; t < kTargetTile; ++t) {
    padded_positions[t] = targets[t < count ? t : count - 1];
  }
  TargetTile tile{count, (count + kLanes - 1) / kLanes, padded_positions, 0, 0};
  find_range(targets, count, tile.lowest, tile.highest);
  return tile;
}

/// Transposes packed rows (tile.count, padded) into (padded, kTargetTile). Overwrites rows behind
/// the last one, up to a whole vector of rows.
SSA_INLINE void transpose_tile(const TargetTile& tile, float* rows, int64_t padded, float* out) {
  const int64_t whole = tile.vectors * kLanes;
  for (int64_t i = tile.count * padded; i < whole * padded; i += kLanes) store(rows + i, Vec{});
  transpose(rows, padded, whole, padded, out, kTargetTile);
}

SSA_INLINE IntVec load_positions(const int32_t* from) {
  IntVec value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

/// Adds the bias -slope·(i - j) to the logits of kLanes targets against a tile of sources, and
/// makes those -inf that may not be seen. Positions are below 2^24, so that their difference is
/// exact in f32.
SSA_INLINE void bias_and_mask(const AttentionProblem& problem, const AttentionSlice& slice,
                              const TargetTile& targets, const SourceTile& sources, int64_t vector,
                              float* logits) {
  const IntVec target = load_positions(targets.position + vector * kLanes);
  if (problem.alibi_slopes) {
    const float slope = problem.alibi_slopes[slice.head];
    const Vec position = __builtin_convertvector(target, Vec);
    for (int64_t s = 0; s < sources.count; ++s) {
      float* place = logits + s * kTargetTile;
      store(place, load(place) + slope * (static_cast<float>(sources.position[s]) - position));
    }
  }
  if (problem.causal && sources.highest > targets.lowest) {
    for (int64_t s = 0; s < sources.count; ++s) {
      float* place = logits + s * kTargetTile;
      store(place, sources.position[s] > target ? broadcast(-__builtin_inff()) : load(place));
    }
  }
}

/// e^x of a logit relative to the highest one or to the log-sum-exp. Weights below e^-50 = 2e-22
/// cannot show in an f32 sum and are taken as 0: their products with gradients might be subnormal
/// numbers, on which processors are many times slower.
SSA_INLINE Vec softmax_weight(Vec logit) { return exp(logit, -50.0f); }

/// The wholly masked tiles are not computed at all.
SSA_INLINE bool is_invisible(const AttentionProblem& problem, const TargetTile& targets,
                             const SourceTile& sources) {
  return problem.causal && sources.lowest > targets.highest;
}

/// Dropout of the weights of kLanes targets, one source after the other: element
/// ((b·H + h)·N + i)·N + j.
struct WeightDropout {
  const DropoutStream& stream;
  UintVec base_block, base_rest;  // of element (i, 0): index / 4 and index mod 4
  bool aligned;                   // N is a multiple of 4: all lanes are at the same word
  uint32_t drawn;                 // aligned: which block `word` holds, counted within a row
  UintVec word[4];

  WeightDropout(const AttentionProblem& problem, const AttentionSlice& slice,
                const TargetTile& targets, int64_t vector)
      : stream(*problem.dropout), aligned(problem.length % 4 == 0), drawn(~0u) {
    const auto length = static_cast<uint64_t>(problem.length);
    const auto row0 = static_cast<uint64_t>(slice.batch * problem.heads + slice.head) * length;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const auto target = static_cast<uint64_t>(targets.position[vector * kLanes + lane]);
      const uint64_t first = (row0 + target) * length;
      base_block[lane] = static_cast<uint32_t>(first >> 2);
      base_rest[lane] = static_cast<uint32_t>(first & 3);
    }
  }

  /// 0 where dropped, else 1/(1-p).
  SSA_INLINE Vec factor(int32_t source_position) {
    const auto source = static_cast<uint32_t>(source_position);
    UintVec chosen;
    if (aligned) {
      if (source >> 2 != drawn) {
        drawn = source >> 2;
        philox(stream, base_block + drawn, word);
      }
      chosen = word[source & 3];
    } else {
      const UintVec index = base_rest + source;
      philox(stream, base_block + (index >> 2), word);
      const UintVec place = index & 3;
      const UintVec low = place == 0u ? word[0] : word[1];
      const UintVec high = place == 2u ? word[2] : word[3];
      chosen = place < 2u ? low : high;
    }
    return chosen < stream.threshold ? Vec{} : broadcast(stream.keep_scale);
  }
};

}  // namespace
}  // namespace ssa::cpu::SSA_KERNEL_ISA
