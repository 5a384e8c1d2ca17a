// Elementwise functions, dropout, sums of rows, and sums of all elements.

#include "backend/cpu/kernels/bf16.h"
#include "backend/cpu/kernels/gelu.h"
#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// out[i] = f(in[i])
template <class In, class Out, class F>
SSA_INLINE void map(const In* in, Out* out, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, f(load(in + i)));
  if (i < count) store_part(out + i, f(load_part(in + i, count - i)), count - i);
}

/// out[i] = f(a[i], b[i])
template <class A, class B, class Out, class F>
SSA_INLINE void map(const A* a, const B* b, Out* out, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, f(load(a + i), load(b + i)));
  if (i < count) {
    const int64_t rest = count - i;
    store_part(out + i, f(load_part(a + i, rest), load_part(b + i, rest)), rest);
  }
}

/// Like map(), and second[i] receives what f writes to its third argument.
template <class T, class F>
SSA_INLINE void map_both(const T* a, const T* b, T* out, T* second, int64_t count, F f) {
  int64_t i = 0;
  Vec more;
  for (; i + kLanes <= count; i += kLanes) {
    store(out + i, f(load(a + i), load(b + i), more));
    store(second + i, more);
  }
  if (i < count) {
    const int64_t rest = count - i;
    store_part(out + i, f(load_part(a + i, rest), load_part(b + i, rest), more), rest);
    store_part(second + i, more, rest);
  }
}

template <class T>
void add(const T* a, const T* b, T* out, int64_t count) {
  map(a, b, out, count, [](Vec x, Vec y) { return x + y; });
}

template <class In, class Out>
void scale(const In* in, float factor, Out* out, int64_t count) {
  map(in, out, count, [factor](Vec x) { return factor * x; });
}

template <class T>
void to_f32(const T* in, float* out, int64_t count) {
  map(in, out, count, [](Vec x) { return x; });
}

template <class T>
void add_scaled(const T* in, float factor, float* out, int64_t count) {
  map(in, out, out, count, [factor](Vec x, Vec y) { return factor * x + y; });
}

template <class T>
void activation(ActivationKind kind, const T* in, T* out, int64_t count) {
  switch (kind) {
    case ActivationKind::gelu:
      return map(in, out, count, [in](Vec x) { return gelu(x, in); });
    case ActivationKind::gelu_tanh:
      return map(in, out, count, [](Vec x) {
        Vec value;
        gelu_tanh_slope(x, value);
        return value;
      });
    case ActivationKind::relu:
      return map(in, out, count, [](Vec x) { return x > 0.0f ? x : Vec{}; });
    case ActivationKind::elu:
      return map(in, out, count, [](Vec x) { return x > 0.0f ? x : expm1_negative(x); });
  }
}

template <class T, class F>
SSA_INLINE void map_gradient(const T* in, const T* grad_out, T* grad_in, T* out, int64_t count,
                             F f) {
  if (out) return map_both(in, grad_out, grad_in, out, count, f);
  map(in, grad_out, grad_in, count, [f](Vec x, Vec grad) {
    Vec unused;
    return f(x, grad, unused);
  });
}

template <class T>
void activation_backward(ActivationKind kind, const T* in, const T* grad_out, T* grad_in, T* out,
                         int64_t count) {
  switch (kind) {
    case ActivationKind::gelu:
      return map_gradient(in, grad_out, grad_in, out, count, [in](Vec x, Vec grad, Vec& value) {
        return grad * gelu_slope(x, in, value);
      });
    case ActivationKind::gelu_tanh:
      return map_gradient(in, grad_out, grad_in, out, count, [](Vec x, Vec grad, Vec& value) {
        return grad * gelu_tanh_slope(x, value);
      });
    case ActivationKind::relu:
      return map_gradient(in, grad_out, grad_in, out, count, [](Vec x, Vec grad, Vec& value) {
        value = x > 0.0f ? x : Vec{};
        return x > 0.0f ? grad : Vec{};
      });
    case ActivationKind::elu:
      return map_gradient(in, grad_out, grad_in, out, count, [](Vec x, Vec grad, Vec& value) {
        value = x > 0.0f ? x : expm1_negative(x);
        return x > 0.0f ? grad : grad * exp(x);
      });
  }
}

/// `count` ≤ kLanes elements.
template <class T>
SSA_INLINE Vec load_up_to(const T* from, int64_t count) {
  return count == kLanes ? load(from) : load_part(from, count);
}
template <class T>
SSA_INLINE void store_up_to(T* to, Vec value, int64_t count) {
  if (count == kLanes) return store(to, value);
  store_part(to, value, count);
}

constexpr int64_t kBlockElements = 4 * kLanes;  // a Philox block is four words

/// 0 or keep_scale for the elements of kLanes consecutive blocks, in order.
SSA_INLINE void draw_factors(const DropoutStream& stream, uint32_t first_block, Vec (&factors)[4]) {
  UintVec block;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    block[lane] = first_block + static_cast<uint32_t>(lane);
  }
  UintVec word[4];
  philox(stream, block, word);
  Vec drawn[4];
  for (int w = 0; w < 4; ++w) {
    drawn[w] = word[w] < stream.threshold ? Vec{} : broadcast(stream.keep_scale);
  }
  Vec even[2], odd[2];  // words 0 and 2, words 1 and 3 of each block, side by side
  interleave(drawn[0], drawn[2], even[0], even[1]);
  interleave(drawn[1], drawn[3], odd[0], odd[1]);
  interleave(even[0], odd[0], factors[0], factors[1]);
  interleave(even[1], odd[1], factors[2], factors[3]);
}

/// Dropout. Stores join(kept, residual).
template <class T, class F>
SSA_INLINE void dropout_joined(const DropoutStream& stream, int64_t first, const T* in,
                               const T* residual, T* out, int64_t count, F join) {
  const auto keep = [](Vec x, Vec factor) { return factor == 0.0f ? Vec{} : x * factor; };
  Vec factors[4];
  int64_t i = 0;
  for (; i + kBlockElements <= count; i += kBlockElements) {
    draw_factors(stream, static_cast<uint32_t>((first + i) / 4), factors);
    for (int64_t k = 0; k < 4; ++k) {
      const int64_t at = i + k * kLanes;
      store(out + at, join(keep(load(in + at), factors[k]), load(residual + at)));
    }
  }
  if (i == count) return;
  draw_factors(stream, static_cast<uint32_t>((first + i) / 4), factors);
  for (int64_t k = 0; k < 4 && i < count; ++k, i += kLanes) {
    const int64_t rest = count - i < kLanes ? count - i : kLanes;
    const Vec kept = keep(load_up_to(in + i, rest), factors[k]);
    store_up_to(out + i, join(kept, load_up_to(residual + i, rest)), rest);
  }
}

template <class T>
void dropout(const DropoutStream& stream, int64_t first, const T* in, const T* residual, T* out,
             int64_t count) {
  if (residual) {
    return dropout_joined(stream, first, in, residual, out, count,
                          [](Vec kept, Vec base) { return base + kept; });
  }
  dropout_joined(stream, first, in, in, out, count, [](Vec kept, Vec) { return kept; });
}

template <class T>
void scale_or_drop(const T* in, float factor, const T* residual, T* out, int64_t count) {
  const bool kept = factor != 0.0f;  // a dropped value is ignored, even NaN
  if (residual) {
    map(in, residual, out, count, [=](Vec x, Vec base) { return kept ? base + factor * x : base; });
  } else {
    map(in, out, count, [=](Vec x) { return kept ? factor * x : Vec{}; });
  }
}

void absolute_error(const float* a, const float* b, float* out, int64_t count) {
  map(a, b, out, count, [](Vec x, Vec y) {
    const Vec difference = x - y;
    return difference < 0.0f ? -difference : difference;
  });
}

void absolute_error_backward(const float* a, const float* b, const float* grad, float* out,
                             int64_t count) {
  const auto slope = [](Vec difference, Vec dy) {  // 0 and NaN stay unchanged
    const Vec not_above = difference < 0.0f ? -dy : difference;
    return difference > 0.0f ? dy : not_above;
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(out + i, slope(load(a + i) - load(b + i), load(grad + i)));
  }
  if (i == count) return;
  const int64_t rest = count - i;
  const Vec difference = load_part(a + i, rest) - load_part(b + i, rest);
  store_part(out + i, slope(difference, load_part(grad + i, rest)), rest);
}

/// Four rows at a time: fewer passes over `out`, and a shorter chain of roundings.
template <class T>
void add_rows(const T* in, int64_t stride, int64_t rows, int64_t columns, float* out) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const T* row = in + r * stride;
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) {
      const Vec first = load(row + c) + load(row + stride + c);
      const Vec second = load(row + 2 * stride + c) + load(row + 3 * stride + c);
      store(out + c, load(out + c) + (first + second));
    }
    for (; c < columns; ++c) {
      const float first = get(row + c) + get(row + stride + c);
      const float second = get(row + 2 * stride + c) + get(row + 3 * stride + c);
      out[c] += first + second;
    }
  }
  for (; r < rows; ++r) {
    map(in + r * stride, out, out, columns, [](Vec x, Vec y) { return x + y; });
  }
}

/// Σ f(in[i]) in f64, in 32 interleaved sums.
template <class T, class F>
SSA_INLINE double sum_of(const T* in, int64_t count, F f) {
  constexpr int64_t kSums = 32;
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int64_t k = 0; k < kSums; ++k) sums[k] += f(static_cast<double>(get(in + i + k)));
  }
  for (int64_t k = 0; i < count; ++i, ++k) sums[k] += f(static_cast<double>(get(in + i)));
  for (int64_t width = kSums / 2; width > 0; width /= 2) {
    for (int64_t k = 0; k < width; ++k) sums[k] += sums[k + width];
  }
  return sums[0];
}

template <class T>
double sum(const T* in, int64_t count) {
  return sum_of(in, count, [](double x) { return x; });
}

template <class T>
double sum_squares(const T* in, int64_t count) {
  return sum_of(in, count, [](double x) { return x * x; });
}

template <class T>
void fill(ElementKernels<T>& kernels) {
  kernels.add = add<T>;
  kernels.scale = scale<T, T>;
  kernels.scale_from_f32 = scale<float, T>;
  kernels.to_f32 = to_f32<T>;
  kernels.add_scaled = add_scaled<T>;
  kernels.activation = activation<T>;
  kernels.activation_backward = activation_backward<T>;
  kernels.dropout = dropout<T>;
  kernels.scale_or_drop = scale_or_drop<T>;
  kernels.add_rows = add_rows<T>;
  kernels.sum = sum<T>;
  kernels.sum_squares = sum_squares<T>;
}

}  // namespace

void fill_elementwise(Kernels& table) {
  fill(table.f32);
  fill(table.bf16);
  table.absolute_error = absolute_error;
  table.absolute_error_backward = absolute_error_backward;
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
