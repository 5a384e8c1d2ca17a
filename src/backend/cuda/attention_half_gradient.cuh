#pragma once

// What the gradient kernels for 16-bit data share: weights from products, and gradients of logits.

#include "backend/cuda/attention_half.cuh"

namespace ssa::cuda {

/// Turns products of queries and keys into weights. Rows are sources if kBySource, else targets.
/// statistics_of(row, column) returns the target's statistics.
template <bool kBySource, int kRowTiles, int kTiles, class StatisticsOf>
__device__ void finish_weights(const AttentionProblem& p, const AttentionItem& item, bool masked,
                               const int (&own)[2 * kRowTiles], const int32_t* others,
                               StatisticsOf&& statistics_of,
                               float (&weights)[kRowTiles][kTiles][4]) {
  float scale = p.scale * kLog2E;
  if (p.relative.table != nullptr) {
    for_each_sum<kRowTiles, kTiles>(
        [&](int m, int n, int part, int, int) { weights[m][n][part] *= scale; });
    add_relative_bias<kBySource>(p, item.head, own, others, weights);
    scale = 1.0f;
  }
  if (p.regions != nullptr) {
    for_each_sum<kRowTiles, kTiles>(
        [&](int m, int n, int part, int, int) { weights[m][n][part] *= scale; });
    mask_regions(p, item, own, others, weights);
    scale = 1.0f;
  }
  if (p.slopes == nullptr) {
    for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
      float& weight = weights[m][n][part];
      weight = exp2_approx(__fmaf_rn(weight, scale, -statistics_of(row, column).lse));
    });
  } else {
    const float slope = __ldg(p.slopes + item.head) * kLog2E;
    for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
      const int ahead = kBySource ? own[row] - others[column] : others[column] - own[row];
      const float bias = slope * static_cast<float>(ahead);  // of the source, to the target
      float& weight = weights[m][n][part];
      weight = exp2_approx(__fmaf_rn(weight, scale, bias) - statistics_of(row, column).lse);
    });
  }
  if (masked) {
    for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
      const int source = kBySource ? own[row] : others[column];
      const int target = kBySource ? others[column] : own[row];
      if (source > (p.causal ? target : INT_MAX - 1)) weights[m][n][part] = 0;
    });
  }
}

template <bool kBySource, int kRowTiles, int kTiles>
__device__ Kept<kRowTiles> draw_kept_again(const AttentionProblem& p, const AttentionItem& item,
                                           const int (&own)[2 * kRowTiles], const int32_t* others) {
  return draw_kept<kRowTiles, kTiles>(p.dropout, [&](int first, int second, int column) {
    const int mine = second == 0 ? own[first] : own[first + 1];
    const int target = kBySource ? others[column] : mine;
    return weight_element(p, item, target) +
           static_cast<uint64_t>(kBySource ? mine : others[column]);
  });
}

/// Turns products of grad_out and values into gradients of the biased logits.
template <int kRowTiles, int kTiles, class StatisticsOf>
__device__ void finish_gradients(const AttentionProblem& p, const Kept<kRowTiles>& kept,
                                 const float (&weights)[kRowTiles][kTiles][4],
                                 StatisticsOf&& statistics_of,
                                 float (&gradients)[kRowTiles][kTiles][4]) {
  if (p.dropout.threshold != 0) {
    for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int, int) {
      gradients[m][n][part] *= kept(m, n, part) ? p.dropout.kept_factor : 0.0f;
    });
  }
  for_each_sum<kRowTiles, kTiles>([&](int m, int n, int part, int row, int column) {
    float& gradient = gradients[m][n][part];
    gradient = weights[m][n][part] * (gradient - statistics_of(row, column).delta);
  });
}

}  // namespace ssa::cuda
