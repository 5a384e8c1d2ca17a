#pragma once

// What the forward and the backward attention kernel on AMX share.
//
// As in attention_tiles.h, logits lie as (sources, targets), targets in the lanes. Keys then are
// left factors as they are, queries right ones once their words are transposed. Logits are in units
// of log 2, so that weights are powers of 2; the ALiBi bias slope·(j - i) is split at the first
// position o of a tile of sources into slope·(j - o) of the source and slope·(o - i) of the target,
// both small where weights are not.

#include "backend/cpu/kernels/amx_tiles.h"
#include "backend/cpu/kernels/attention_tiles.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

/// Elements of a packed row.
constexpr int64_t amx_size(int64_t head_size) { return round_up(head_size, kBlock); }

/// The numbers that turn products into logits, in units of log 2.
struct LogitScale {
  float product;  // of what comes out of amx_product()
  float scale;    // of what add_pair_terms() makes of it
  float slope;
  bool relative;  // there is a learned 2-D bias
  LogitScale(const AttentionProblem& problem, const AttentionSlice& slice)
      : product(problem.scale * kLog2E),
        scale(problem.regions || problem.relative.tables ? 1.0f : product),
        slope(problem.alibi_slopes ? problem.alibi_slopes[slice.head] * kLog2E : 0.0f),
        relative(problem.relative.tables != nullptr) {}
};

/// Scales products, adds the learned 2-D bias and masks by it and by regions, if there are any.
/// Rows of products are kStride apart.
template <int64_t kStride>
SSA_INLINE void add_pair_terms(const AttentionProblem& problem, const AttentionSlice& slice,
                               const LogitScale& scale, const TargetTile& targets,
                               const SourceTile& sources, int64_t vector, float* products) {
  float factor = scale.product;
  if (problem.regions) {
    mask_regions<kStride>(problem, slice, targets, sources, vector, factor, products);
    factor = 1.0f;
  }
  if (problem.relative.tables) {
    add_relative_bias<kStride>(problem, slice, targets, sources, vector, factor, kLog2E, products);
  }
}

/// The sources' part of the bias; -inf where there is no source, which gives weight 0.
template <int64_t kMost>
struct SourceBias {
  alignas(64) float bias[kMost];
  float origin;
  SourceBias(const LogitScale& scale, const SourceTile& tile)
      : origin(static_cast<float>(tile.lowest)) {
    for (int64_t s = 0; s < kMost; ++s) {
      bias[s] = s < tile.count ? scale.slope * (static_cast<float>(tile.position[s]) - origin)
                               : kMinusInfinity;
    }
  }
};

/// The targets' part of the bias.
SSA_INLINE Vec target_bias(const LogitScale& scale, float origin, IntVec position) {
  return scale.slope * (origin - __builtin_convertvector(position, Vec));
}

/// 2^x for x < 127 where `visible` and x ≥ -72 (see softmax_weight), else 0; NaN gives NaN.
/// Relative error 2.6e-6, a thousandth of what rounding to bf16 adds. The polynomial is a minimax
/// fit on [-1/2, 1/2].
SSA_INLINE Vec weight_of(Vec x, __mmask16 visible) {
  const Vec magic = broadcast(12582912.0f);  // 1.5·2^23: adding it rounds to an integer
  const Vec shifted = x + magic;
  const Vec r = x - (shifted - magic);
  Vec p = 0.00957010191f * r + 0.0559178603f;
  p = p * r + 0.240247448f;
  p = p * r + 0.693121815f;
  p = p * r + 0.999999261f;
  const __mmask16 counts = _mm512_mask_cmp_ps_mask(visible, reinterpret_cast<__m512>(x),
                                                   _mm512_set1_ps(-72.0f), _CMP_NLT_UQ);
  const UintVec exponent = reinterpret_cast<UintVec>(shifted) << 23;
  return reinterpret_cast<Vec>(_mm512_maskz_add_epi32(counts, reinterpret_cast<__m512i>(p),
                                                      reinterpret_cast<__m512i>(exponent)));
}

/// Which of 16 targets may see a source.
template <bool kMasked>
SSA_INLINE __mmask16 visible_to(IntVec target, int32_t source) {
  if constexpr (!kMasked) return 0xffff;
  return _mm512_cmp_epi32_mask(reinterpret_cast<__m512i>(target), _mm512_set1_epi32(source),
                               _MM_CMPINT_NLT);
}

/// Gathers the rows `numbers` into (whole_tile, padded), zeros behind the last one.
[[maybe_unused]] void gather_rows(const HeadRows& rows, const AttentionSlice& slice,
                                  const int32_t* numbers, int64_t count, int64_t whole_tile,
                                  int64_t head_size, uint16_t* out) {
  const int64_t padded = amx_size(head_size), rest = head_size % kBlock, whole = head_size - rest;
  const __mmask32 part = rest ? (1u << rest) - 1u : 0u;
  for (int64_t i = 0; i < count; ++i) {
    const auto* from = reinterpret_cast<const uint16_t*>(row_of<BFloat16>(rows, slice, numbers[i]));
    uint16_t* to = out + i * padded;
    for (int64_t d = 0; d < whole; d += kBlock) store_bits(to + d, load_bits<Halves>(from + d));
    if (rest) {
      store_bits(to + whole,
                 reinterpret_cast<Halves>(_mm512_maskz_loadu_epi16(part, from + whole)));
    }
  }
  for (int64_t i = count * padded; i < whole_tile * padded; i += kBlock) {
    store_bits(out + i, Halves{});
  }
}

/// Transposes the words, pairs of elements, of `count` rows of `words`; both multiples of 16.
SSA_INLINE void transpose_words(const void* rows, int64_t count, int64_t words, void* out,
                                int64_t out_stride) {
  transpose(static_cast<const float*>(rows), words, count, words, static_cast<float*>(out),
            out_stride);
}

}  // namespace
}  // namespace ssa::cpu::SSA_KERNEL_ISA
