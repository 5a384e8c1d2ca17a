// Layer norm and the softmax of one row.

#include "backend/cpu/kernels/bf16.h"
#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// Calls f(column, load, store) for each whole vector of a row, then once for the rest. load and
/// store take the first two arguments of load_part and store_part.
template <class F>
SSA_INLINE void for_columns(int64_t columns, F f) {
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    f(
        c, [](const auto* from) { return load(from); },
        [](auto* to, Vec value) { store(to, value); });
  }
  if (c < columns) {
    const int64_t rest = columns - c;
    f(
        c, [rest](const auto* from) { return load_part(from, rest); },
        [rest](auto* to, Vec value) { store_part(to, value, rest); });
  }
}

/// 1 in the lanes whose columns exist, else 0.
SSA_INLINE Vec column_mask(int64_t first, int64_t columns) {
  Vec mask;
  for (int64_t lane = 0; lane < kLanes; ++lane) mask[lane] = first + lane < columns ? 1.0f : 0.0f;
  return mask;
}

/// Σ f(in[c]) over a row, over existing columns only.
template <class T, class F>
SSA_INLINE float sum_row(const T* in, int64_t columns, F f) {
  Vec sums[4] = {};
  int64_t c = 0;
  for (; c + 4 * kLanes <= columns; c += 4 * kLanes) {
    for (int k = 0; k < 4; ++k) sums[k] += f(load(in + c + k * kLanes));
  }
  for (; c + kLanes <= columns; c += kLanes) sums[0] += f(load(in + c));
  if (c < columns) {
    const Vec mask = column_mask(c, columns);
    const Vec last = f(load_part(in + c, columns - c));
    sums[1] += mask > 0.0f ? last : Vec{};
  }
  return sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
void layer_norm(const T* in, const float* gain, const float* shift, float eps, int64_t rows,
                int64_t columns, T* out, float* mean, float* rstd) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = in + r * columns;
    T* y = out + r * columns;
    const auto width = static_cast<float>(columns);
    const float mu = sum_row(x, columns, [](Vec value) { return value; }) / width;
    const float squares =
        sum_row(x, columns, [mu](Vec value) { return (value - mu) * (value - mu); });
    const float inverse = 1.0f / __builtin_sqrtf(squares / width + eps);
    for_columns(columns, [&](int64_t c, auto get, auto put) {
      put(y + c, (get(x + c) - mu) * inverse * get(gain + c) + get(shift + c));
    });
    mean[r] = mu;
    rstd[r] = inverse;
  }
}

// With x̂ = (x - mean)·rstd and g = grad_out·gain:
//   grad_in = rstd · (g - mean(g) - x̂ · mean(g·x̂))
template <class T>
void layer_norm_backward(const LayerNormRows<T>& arrays, int64_t rows, int64_t columns) {
  const LayerNormRows<T> all = arrays;
  const float *gain = all.gain, *shift = all.shift;
  float *grad_gain = all.grad_gain, *grad_shift = all.grad_shift;
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = all.in + r * columns;
    const T* dy = all.grad_out + r * columns;
    T* dx = all.grad_in + r * columns;
    T* y = all.out ? all.out + r * columns : nullptr;
    const float mu = all.mean[r], inverse = all.rstd[r];
    Vec sum_g = {}, sum_gx = {};  // missing columns of the last vector have dy = 0
    for_columns(columns, [&](int64_t c, auto get, auto put) {
      const Vec normed = (get(x + c) - mu) * inverse;
      const Vec grad = get(dy + c);
      const Vec g = grad * get(gain + c);
      sum_g += g;
      sum_gx += g * normed;
      put(grad_gain + c, get(grad_gain + c) + grad * normed);
      put(grad_shift + c, get(grad_shift + c) + grad);
    });
    const float mean_g = sum_lanes(sum_g) / static_cast<float>(columns);
    const float mean_gx = sum_lanes(sum_gx) / static_cast<float>(columns);
    for_columns(columns, [&](int64_t c, auto get, auto put) {
      const Vec normed = (get(x + c) - mu) * inverse;
      const Vec scaled = get(gain + c);
      const Vec grad = inverse * (get(dy + c) * scaled - mean_g - normed * mean_gx);
      put(dx + c, all.accumulate ? get(dx + c) + grad : grad);
      if (y) put(y + c, normed * scaled + get(shift + c));
    });
  }
}

template <class T>
float highest_of(const T* in, int64_t columns) {
  Vec highest[4];
  for (Vec& lanes : highest) lanes = broadcast(get(in));
  int64_t c = 0;
  for (; c + 4 * kLanes <= columns; c += 4 * kLanes) {
    for (int k = 0; k < 4; ++k) highest[k] = max(highest[k], load(in + c + k * kLanes));
  }
  float result = max_lanes(max(max(highest[0], highest[1]), max(highest[2], highest[3])));
  for (; c < columns; ++c) result = result > get(in + c) ? result : get(in + c);
  return result;
}

template <class T>
float log_sum_exp(const T* logits, int64_t columns) {
  constexpr int64_t kBlock = 4096;  // sums of longer rows continue in f64
  const float highest = highest_of(logits, columns);
  double total = 0;
  for (int64_t c = 0; c < columns; c += kBlock) {
    const int64_t length = columns - c < kBlock ? columns - c : kBlock;
    total += static_cast<double>(
        sum_row(logits + c, length, [highest](Vec x) { return exp(x - highest); }));
  }
  return highest + __builtin_logf(static_cast<float>(total));
}

template <class T>
void softmax_gradient(const T* logits, int64_t target, float lse, float grad, T* out,
                      int64_t columns) {
  const Vec at_target = exp(broadcast(get(logits + target) - lse));  // `out` may be `logits`
  for_columns(columns, [&](int64_t c, auto get, auto put) {
    put(out + c, grad * exp(get(logits + c) - lse));
  });
  put(out + target, grad * (at_target[0] - 1.0f));
}

/// The probability p of the class in label k.
SSA_INLINE float probability_of_label(const SoftTargetRow& targets, int64_t k) {
  float weight = 0.0f;
  for (int64_t other = 0; other < targets.labels; ++other) {
    weight += targets.label[other] == targets.label[k] ? targets.weight[other] : 0.0f;
  }
  return targets.base + targets.labelled * weight;
}

template <class T>
void soft_target_gradient(const T* logits, const SoftTargetRow& targets, float lse, float grad,
                          T* out, int64_t columns, float* scratch) {
  const SoftTargetRow row = targets;
  for (int64_t k = 0; k < row.labels; ++k) {  // read before `out` is written, which may be `logits`
    const Vec probability = exp(broadcast(get(logits + row.label[k]) - lse));
    scratch[k] = grad * (probability[0] - probability_of_label(row, k));
  }
  for_columns(columns, [&](int64_t c, auto get, auto put) {
    put(out + c, grad * (exp(get(logits + c) - lse) - row.base));
  });
  for (int64_t k = 0; k < row.labels; ++k) put(out + row.label[k], scratch[k]);
}

/// Writes the logits of a row with bias and mask, padded with -inf to whole vectors. Returns
/// whether the target sees any source.
template <class T>
bool masked_logits(const MaskedRow& row, const T* in, int64_t columns, float* out) {
  const float hidden = -__builtin_inff();
  const int32_t last = row.causal ? row.target : INT32_MAX;
  IntVec seen = {};
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    IntVec source;
    __builtin_memcpy(&source, row.sources + c, sizeof source);
    const IntVec visible = source <= last;
    const Vec distance = __builtin_convertvector(row.target - source, Vec);
    const Vec logit = row.scale * load(in + c) - row.slope * distance;
    store(out + c, visible ? logit : broadcast(hidden));
    seen |= visible;
  }
  bool any = false;
  for (int64_t lane = 0; lane < kLanes; ++lane) any = any || seen[lane] != 0;
  for (; c < columns; ++c) {
    const bool visible = row.sources[c] <= last;
    const auto distance = static_cast<float>(row.target - row.sources[c]);
    out[c] = visible ? row.scale * get(in + c) - row.slope * distance : hidden;
    any = any || visible;
  }
  for (; c % kLanes != 0; ++c) out[c] = hidden;
  return any;
}

template <class T>
void masked_softmax(const MaskedRow& row, const T* logits, T* out, int64_t columns,
                    float* scratch) {
  if (!masked_logits(row, logits, columns, scratch)) {
    for_columns(columns, [&](int64_t c, auto, auto put) { put(out + c, Vec{}); });
    return;
  }
  Vec highest_lanes = load(scratch), total = {};
  for (int64_t c = kLanes; c < columns; c += kLanes) {
    highest_lanes = max(highest_lanes, load(scratch + c));
  }
  const float highest = max_lanes(highest_lanes);
  for (int64_t c = 0; c < columns; c += kLanes) {
    const Vec weight = exp(load(scratch + c) - highest);
    store(scratch + c, weight);
    total += weight;
  }
  const float inverse = 1.0f / sum_lanes(total);
  for_columns(columns,
              [&](int64_t c, auto get, auto put) { put(out + c, get(scratch + c) * inverse); });
}

template <class T>
void masked_softmax_backward(const T* weights, float scale, const T* grad, T* out,
                             int64_t columns) {
  Vec sum = {};  // missing columns of the last vector are 0
  for_columns(columns, [&](int64_t c, auto get, auto) { sum += get(weights + c) * get(grad + c); });
  const float mean = sum_lanes(sum);
  for_columns(columns, [&](int64_t c, auto get, auto put) {
    put(out + c, scale * get(weights + c) * (get(grad + c) - mean));
  });
}

template <class T>
void fill(ElementKernels<T>& kernels) {
  kernels.layer_norm = layer_norm<T>;
  kernels.layer_norm_backward = layer_norm_backward<T>;
  kernels.log_sum_exp = log_sum_exp<T>;
  kernels.softmax_gradient = softmax_gradient<T>;
  kernels.soft_target_gradient = soft_target_gradient<T>;
  kernels.masked_softmax = masked_softmax<T>;
  kernels.masked_softmax_backward = masked_softmax_backward<T>;
}

}  // namespace

void fill_rows(Kernels& table) {
  fill(table.f32);
  fill(table.bf16);
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
