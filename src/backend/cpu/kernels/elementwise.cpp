// Elementwise functions, dropout, and sums of rows and of everything.

#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// out[i] = f(in[i])
template <class F>
SSA_INLINE void map(const float* in, float* out, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, f(load(in + i)));
  if (i < count) store_part(out + i, f(load_part(in + i, count - i)), count - i);
}

/// out[i] = f(a[i], b[i])
template <class F>
SSA_INLINE void map(const float* a, const float* b, float* out, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, f(load(a + i), load(b + i)));
  if (i < count) {
    const int64_t rest = count - i;
    store_part(out + i, f(load_part(a + i, rest), load_part(b + i, rest)), rest);
  }
}

void add(const float* a, const float* b, float* out, int64_t count) {
  map(a, b, out, count, [](Vec x, Vec y) { return x + y; });
}

void scale(const float* in, float factor, float* out, int64_t count) {
  map(in, out, count, [factor](Vec x) { return factor * x; });
}

void add_scaled(const float* in, float factor, float* out, int64_t count) {
  map(in, out, out, count, [factor](Vec x, Vec y) { return factor * x + y; });
}

void activation(ActivationKind kind, const float* in, float* out, int64_t count) {
  switch (kind) {
    case ActivationKind::gelu:
      return map(in, out, count, [](Vec x) {
        Vec bell;
        return x * normal_cdf(x, bell);
      });
    case ActivationKind::relu:
      return map(in, out, count, [](Vec x) { return x > 0.0f ? x : Vec{}; });
    case ActivationKind::elu:
      return map(in, out, count, [](Vec x) { return x > 0.0f ? x : expm1_negative(x); });
  }
}

void activation_backward(ActivationKind kind, const float* in, const float* grad_out,
                         float* grad_in, int64_t count) {
  switch (kind) {
    case ActivationKind::gelu:  // slope Φ(x) + x·φ(x)
      return map(in, grad_out, grad_in, count, [](Vec x, Vec grad) {
        Vec bell;
        const Vec cdf = normal_cdf(x, bell);
        return grad * (cdf + x * (0.398942280f * bell));
      });
    case ActivationKind::relu:
      return map(in, grad_out, grad_in, count,
                 [](Vec x, Vec grad) { return x > 0.0f ? grad : Vec{}; });
    case ActivationKind::elu:
      return map(in, grad_out, grad_in, count,
                 [](Vec x, Vec grad) { return x > 0.0f ? grad : grad * exp(x); });
  }
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

void dropout(const DropoutStream& stream, int64_t first, const float* in, float* out,
             int64_t count) {
  const auto keep = [](Vec x, Vec factor) { return factor == 0.0f ? Vec{} : x * factor; };
  Vec factors[4];
  int64_t i = 0;
  for (; i + kBlockElements <= count; i += kBlockElements) {
    draw_factors(stream, static_cast<uint32_t>((first + i) / 4), factors);
    for (int64_t k = 0; k < 4; ++k) {
      store(out + i + k * kLanes, keep(load(in + i + k * kLanes), factors[k]));
    }
  }
  if (i < count) {
    draw_factors(stream, static_cast<uint32_t>((first + i) / 4), factors);
    float rest[kBlockElements];
    for (int64_t k = 0; k < 4; ++k) store(rest + k * kLanes, factors[k]);
    map(in + i, rest, out + i, count - i, keep);
  }
}

/// Four rows at a time: fewer passes over `out`, and a shorter chain of roundings.
void add_rows(const float* in, int64_t rows, int64_t columns, float* out) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const float* row = in + r * columns;
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) {
      const Vec first = load(row + c) + load(row + columns + c);
      const Vec second = load(row + 2 * columns + c) + load(row + 3 * columns + c);
      store(out + c, load(out + c) + (first + second));
    }
    for (; c < columns; ++c) {
      const float first = row[c] + row[columns + c];
      const float second = row[2 * columns + c] + row[3 * columns + c];
      out[c] += first + second;
    }
  }
  for (; r < rows; ++r) add(in + r * columns, out, out, columns);
}

/// Σ f(in[i]) in f64, in 32 interleaved sums.
template <class F>
SSA_INLINE double sum_of(const float* in, int64_t count, F f) {
  constexpr int64_t kSums = 32;
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int64_t k = 0; k < kSums; ++k) sums[k] += f(static_cast<double>(in[i + k]));
  }
  for (int64_t k = 0; i < count; ++i, ++k) sums[k] += f(static_cast<double>(in[i]));
  for (int64_t width = kSums / 2; width > 0; width /= 2) {
    for (int64_t k = 0; k < width; ++k) sums[k] += sums[k + width];
  }
  return sums[0];
}

double sum(const float* in, int64_t count) {
  return sum_of(in, count, [](double x) { return x; });
}

double sum_squares(const float* in, int64_t count) {
  return sum_of(in, count, [](double x) { return x * x; });
}

}  // namespace

void fill_elementwise(Kernels& table) {
  table.add = add;
  table.scale = scale;
  table.add_scaled = add_scaled;
  table.activation = activation;
  table.activation_backward = activation_backward;
  table.dropout = dropout;
  table.add_rows = add_rows;
  table.sum = sum;
  table.sum_squares = sum_squares;
}

}  // namespace ssa::cpu::SSA_KERNEL_ISA
