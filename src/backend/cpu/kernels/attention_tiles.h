#pragma once

// What the forward and the backward attention kernel share: gathering the rows of a window into
// tiles, and logits of a tile.
//
// Logits are kept transposed, (sources, targets), with targets in the lanes: the softmax is then
// plain vector arithmetic, keys and values are used as they lie, and only queries are transposed.

#include "backend/cpu/kernels/bf16.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/tile_product.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

constexpr int64_t kSourceTile = 64;

/// T is float or BFloat16, the dtype of the problem's data.
template <class T>
SSA_INLINE T* row_of(const HeadRows& rows, const AttentionSlice& slice, int64_t position) {
  return static_cast<T*>(rows.data) + slice.batch * rows.batch_stride + position * rows.row_stride +
         slice.head * rows.head_stride;
}

SSA_INLINE float* lse_of(const AttentionProblem& problem, const AttentionSlice& slice) {
  return problem.lse + (slice.batch * problem.heads + slice.head) * problem.length;
}

/// Floats of a packed row: a multiple of every kLanes.
constexpr int64_t packed_size(int64_t head_size) { return round_up(head_size, 16); }

/// Hands out 64-byte aligned parts of a scratch buffer, and counts what it has handed out.
struct Scratch {
  float* next;  // null: only counts
  int64_t used = 0;
  template <class T>
  T* take(int64_t count) {
    const int64_t floats = round_up(count * static_cast<int64_t>(sizeof(T)), 64) / 4;
    used += floats;
    if (!next) return nullptr;
    float* part = next;
    next += floats;
    return reinterpret_cast<T*>(part);
  }
};

/// out = factor · in, with zeros from `count` to `padded`.
template <class T>
SSA_INLINE void pack_row(const T* in, int64_t count, float factor, int64_t padded, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, factor * load(in + i));
  if (i < count) {
    store(out + i, factor * load_part(in + i, count - i));
    i += kLanes;
  }
  for (; i < padded; i += kLanes) store(out + i, Vec{});
}

/// Gathers the rows `numbers` into (count, padded).
template <class T>
SSA_INLINE void pack_rows(const HeadRows& rows, const AttentionSlice& slice, const int32_t* numbers,
                          int64_t count, int64_t head_size, float factor, float* out) {
  const int64_t padded = packed_size(head_size);
  for (int64_t i = 0; i < count; ++i) {
    pack_row(row_of<T>(rows, slice, numbers[i]), head_size, factor, padded, out + i * padded);
  }
}

/// Some targets, kTargetTile at most.
struct TargetTile {
  int64_t count;
  int64_t vectors;          ///< count / kLanes, rounded up
  const int32_t* position;  ///< of a whole tile, padded with the last one
  int32_t lowest, highest;
  uint64_t regions;  ///< see region_set()
  int64_t first;     ///< number of the first one in its window
};

/// Some sources, kSourceTile at most.
struct SourceTile {
  int64_t count;
  const int32_t* position;
  const int32_t* row;  ///< of key and value
  int32_t lowest, highest;
  uint64_t regions;  ///< see region_set()
  int64_t first;     ///< number of the first one in its window
};

SSA_INLINE void find_range(const int32_t* position, int64_t count, int32_t& lowest,
                           int32_t& highest) {
  lowest = highest = position[0];
  for (int64_t i = 1; i < count; ++i) {
    lowest = position[i] < lowest ? position[i] : lowest;
    highest = position[i] > highest ? position[i] : highest;
  }
}

/// The regions of the slice's sequence, by position.
SSA_INLINE const int32_t* regions_of(const AttentionProblem& problem, const AttentionSlice& slice) {
  return problem.regions + slice.batch * problem.region_stride;
}

/// The regions of some positions as a set: bit r for region r modulo 64. Sets without a common bit
/// have no common region.
SSA_INLINE uint64_t region_set(const AttentionProblem& problem, const AttentionSlice& slice,
                               const int32_t* position, int64_t count) {
  if (!problem.regions) return 1;
  const int32_t* region = regions_of(problem, slice);
  uint64_t set = 0;
  for (int64_t i = 0; i < count; ++i) set |= uint64_t{1} << (region[position[i]] & 63);
  return set;
}

/// Up to kMost sources of the slice's window, from number `first` on.
template <int64_t kMost = kSourceTile>
SSA_INLINE SourceTile source_tile(const AttentionProblem& problem, const AttentionSlice& slice,
                                  int64_t first) {
  const int64_t rest = problem.sources_per_window - first;
  const int64_t number = slice.window * problem.sources_per_window + first;
  SourceTile tile{.count = rest < kMost ? rest : kMost,
                  .position = problem.sources + number,
                  .row = problem.source_rows + number,
                  .lowest = 0,
                  .highest = 0,
                  .regions = 0,
                  .first = first};
  find_range(tile.position, tile.count, tile.lowest, tile.highest);
  tile.regions = region_set(problem, slice, tile.position, tile.count);
  return tile;
}

/// The first kMost of `count` targets; copies their positions to `padded_positions` (kMost).
template <int64_t kMost = kTargetTile>
SSA_INLINE TargetTile target_tile(const AttentionProblem& problem, const AttentionSlice& slice,
                                  const int32_t* targets, int64_t count,
                                  int32_t* padded_positions) {
  count = count < kMost ? count : kMost;
  for (int64_t t = 0; t < kMost; ++t) {
    padded_positions[t] = targets[t < count ? t : count - 1];
  }
  TargetTile tile{.count = count,
                  .vectors = (count + kLanes - 1) / kLanes,
                  .position = padded_positions,
                  .lowest = 0,
                  .highest = 0,
                  .regions = 0,
                  .first = targets - (problem.targets + slice.window * problem.targets_per_window)};
  find_range(targets, count, tile.lowest, tile.highest);
  tile.regions = region_set(problem, slice, targets, count);
  return tile;
}

/// to = factor · from, rounded to T.
template <class T>
SSA_INLINE void write_row(const float* from, float factor, int64_t count, T* to) {
  int64_t d = 0;
  for (; d + kLanes <= count; d += kLanes) store(to + d, factor * load(from + d));
  for (; d < count; ++d) put(to + d, factor * from[d]);
}

/// to += from
SSA_INLINE void add_row(const float* from, int64_t count, float* to) {
  int64_t d = 0;
  for (; d + kLanes <= count; d += kLanes) store(to + d, load(to + d) + load(from + d));
  for (; d < count; ++d) to[d] += from[d];
}

/// Adds the gradients of a tile of sources to the sums of the rows `row`.
SSA_INLINE void add_source_gradients(const AttentionGradients& gradients, const SourceTile& tile,
                                     const int32_t* row, int64_t head_size, SumRows keys,
                                     SumRows values) {
  const SumRows &key = gradients.grad_key, &value = gradients.grad_value;
  for (int64_t s = 0; s < tile.count; ++s) {
    add_row(keys.data + s * keys.row_stride, head_size, key.data + row[s] * key.row_stride);
    add_row(values.data + s * values.row_stride, head_size, value.data + row[s] * value.row_stride);
  }
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

/// The codes of kLanes targets in a learned 2-D bias. Targets side by side in a row of the grid
/// have consecutive ones, and their biases lie side by side as well.
struct TargetCodes {
  int32_t code[kLanes];
  int32_t lowest, highest;
  bool consecutive = true;
  TargetCodes(const AttentionProblem& problem, const TargetTile& targets, int64_t vector) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      code[lane] = problem.relative.code[targets.position[vector * kLanes + lane]];
      consecutive = consecutive && code[lane] == code[0] + lane;
    }
    find_range(code, kLanes, lowest, highest);
  }
};

/// The place of kLanes targets and the first source of a tile in a window's tile of biases. The
/// next source is one row further.
SSA_INLINE int64_t bias_element(const RelativeTables& relative, const TargetTile& targets,
                                const SourceTile& sources, int64_t vector) {
  return sources.first * relative.tile_stride + targets.first + vector * kLanes;
}

/// logits = scale·logits + unit·bias for kLanes targets against a tile of sources, with the learned
/// 2-D bias, and -inf where it masks. Rows of logits are kStride apart.
template <int64_t kStride>
SSA_INLINE void add_relative_bias(const AttentionProblem& problem, const AttentionSlice& slice,
                                  const TargetTile& targets, const SourceTile& sources,
                                  int64_t vector, float scale, float unit, float* logits) {
  const RelativeTables& relative = problem.relative;
  const auto add = [&](auto bias_of) SSA_INLINE_LAMBDA {
    for (int64_t s = 0; s < sources.count; ++s) {
      const Vec bias = bias_of(s);
      float* place = logits + s * kStride;
      const Vec logit = scale * load(place) + unit * bias;
      store(place, bias == -__builtin_inff() ? bias : logit);
    }
  };
  if (relative.tiles) {
    const int64_t tile = relative.window_shape[slice.window] * problem.heads + slice.head;
    const float* biases = relative.tiles +
                          tile * problem.sources_per_window * relative.tile_stride +
                          bias_element(relative, targets, sources, vector);
    add([&](int64_t s) SSA_INLINE_LAMBDA { return load(biases + s * relative.tile_stride); });
    return;
  }
  const float* center = relative.tables + slice.head * relative.size + relative.center;
  const auto table_at = [&](int64_t s) SSA_INLINE_LAMBDA {
    return center - relative.code[sources.position[s]];
  };
  const TargetCodes codes(problem, targets, vector);
  if (codes.consecutive) {
    add([&](int64_t s) SSA_INLINE_LAMBDA { return load(table_at(s) + codes.code[0]); });
  } else {
    const IntVec all = load_positions(codes.code);
    add([&](int64_t s) SSA_INLINE_LAMBDA { return gather(table_at(s), all); });
  }
}

/// logits = scale·logits, but -inf where source and target are of two regions.
template <int64_t kStride>
SSA_INLINE void mask_regions(const AttentionProblem& problem, const AttentionSlice& slice,
                             const TargetTile& targets, const SourceTile& sources, int64_t vector,
                             float scale, float* logits) {
  const int32_t* region = regions_of(problem, slice);
  int32_t of_target[kLanes];
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    of_target[lane] = region[targets.position[vector * kLanes + lane]];
  }
  const IntVec own = load_positions(of_target);
  for (int64_t s = 0; s < sources.count; ++s) {
    float* place = logits + s * kStride;
    const Vec logit = scale * load(place);
    store(place, own == region[sources.position[s]] ? logit : broadcast(-__builtin_inff()));
  }
}

/// Adds gradients of the logits of kLanes targets against a tile of sources to the gradient of a
/// window's biases. Rows of gradients are kStride apart.
template <int64_t kStride>
SSA_INLINE void add_to_tile(const AttentionProblem& problem, const TargetTile& targets,
                            const SourceTile& sources, int64_t vector, const float* gradients,
                            float* tile) {
  const RelativeTables& relative = problem.relative;
  float* to = tile + bias_element(relative, targets, sources, vector);
  for (int64_t s = 0; s < sources.count; ++s) {
    float* place = to + s * relative.tile_stride;
    store(place, load(place) + load(gradients + s * kStride));
  }
}

/// The same for the gradient of the table. Masked pairs have gradient 0 and may lie outside the
/// band.
template <int64_t kStride>
SSA_INLINE void add_to_band(const AttentionProblem& problem, const TargetTile& targets,
                            const SourceTile& sources, int64_t vector, const float* gradients,
                            float* band) {
  const RelativeTables& relative = problem.relative;
  const TargetCodes codes(problem, targets, vector);
  const int64_t rest = targets.count - vector * kLanes, lanes = rest < kLanes ? rest : kLanes;
  for (int64_t s = 0; s < sources.count; ++s) {
    const float* gradient = gradients + s * kStride;
    const int32_t shift = relative.reach - relative.code[sources.position[s]];
    const bool inside = codes.lowest + shift >= 0 && codes.highest + shift <= 2 * relative.reach;
    if (inside && codes.consecutive && lanes == kLanes) {
      float* to = band + (codes.code[0] + shift);
      store(to, load(to) + load(gradient));
    } else if (inside) {
      for (int64_t t = 0; t < lanes; ++t) band[codes.code[t] + shift] += gradient[t];
    } else {
      for (int64_t t = 0; t < lanes; ++t) {
        const int32_t element = codes.code[t] + shift;
        if (element >= 0 && element <= 2 * relative.reach) band[element] += gradient[t];
      }
    }
  }
}

/// Adds gradients of the logits of kLanes targets against a tile of sources to those of the learned
/// 2-D bias, if they are wanted. Rows of logits are kStride apart.
template <int64_t kStride>
SSA_INLINE void add_relative_gradient(const AttentionProblem& problem,
                                      const AttentionGradients& gradients,
                                      const TargetTile& targets, const SourceTile& sources,
                                      int64_t vector, const float* grad_logits) {
  if (gradients.relative_tile) {
    add_to_tile<kStride>(problem, targets, sources, vector, grad_logits, gradients.relative_tile);
  } else if (gradients.relative_band) {
    add_to_band<kStride>(problem, targets, sources, vector, grad_logits, gradients.relative_band);
  }
}

/// Adds the biases -slope·(i - j) and the learned ones to the logits of kLanes targets against a
/// tile of sources, and makes those -inf that may not be seen. Positions are below 2^24, so that
/// their difference is exact in f32.
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
  if (problem.regions) {
    mask_regions<kTargetTile>(problem, slice, targets, sources, vector, 1.0f, logits);
  }
  if (problem.relative.tables) {
    add_relative_bias<kTargetTile>(problem, slice, targets, sources, vector, 1.0f, 1.0f, logits);
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
  if (problem.causal && sources.lowest > targets.highest) return true;
  if ((targets.regions & sources.regions) == 0) return true;
  const RelativeTables& relative = problem.relative;
  if (!relative.tables) return false;
  return relative.code[sources.lowest] - relative.code[targets.highest] > relative.reach ||
         relative.code[targets.lowest] - relative.code[sources.highest] > relative.reach;
}

/// Dropout of the weights of kLanes targets or heads, one source after the other. In attention()
/// the weight of (i, j) is element ((b·H + h)·N + i)·N + j.
struct WeightDropout {
  const DropoutStream& stream;
  UintVec base_block, base_rest;  // of element (i, 0): index / 4 and index mod 4
  bool aligned;                   // N is a multiple of 4: all lanes are at the same word
  uint32_t drawn;                 // aligned: which block `word` holds, counted within a row
  UintVec word[4];

  /// `first(lane)` is a lane's element 0; all of them are multiples of 4 if `aligned_rows`.
  template <class First>
  WeightDropout(const DropoutStream& words, bool aligned_rows, const First& first)
      : stream(words), aligned(aligned_rows), drawn(~0u) {
    uint32_t block[kLanes], rest[kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const uint64_t element = first(lane);
      block[lane] = static_cast<uint32_t>(element >> 2);
      rest[lane] = static_cast<uint32_t>(element & 3);
    }
    __builtin_memcpy(&base_block, block, sizeof block);
    __builtin_memcpy(&base_rest, rest, sizeof rest);
  }
  WeightDropout(const AttentionProblem& problem, const AttentionSlice& slice,
                const TargetTile& targets, int64_t vector)
      : WeightDropout(*problem.dropout, problem.length % 4 == 0, [&](int64_t lane) {
          const auto length = static_cast<uint64_t>(problem.length);
          const auto row0 =
              static_cast<uint64_t>(slice.batch * problem.heads + slice.head) * length;
          const auto target = static_cast<uint64_t>(targets.position[vector * kLanes + lane]);
          return (row0 + target) * length;
        }) {}

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
