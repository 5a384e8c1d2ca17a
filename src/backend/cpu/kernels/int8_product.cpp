// Products with weights in int8: for the few rows of generation, which is bound by reading weights.
// They are widened to f32, and multiplied and added there: nothing but the weights is rounded to
// int8.

#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/table.h"

namespace ssa::cpu::SSA_KERNEL_ISA {
namespace {

/// kLanes weights. GCC 12 takes a conversion of byte vectors apart, lane by lane.
SSA_INLINE Vec widen(const int8_t* from) {
#if defined(__AVX512F__)
  // The form without a mask makes GCC 12 warn of an uninitialised variable in its own header.
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const auto wide = reinterpret_cast<IntVec>(_mm512_maskz_cvtepi8_epi32(0xffff, bytes));
#elif defined(__AVX2__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  const auto wide = reinterpret_cast<IntVec>(_mm256_cvtepi8_epi32(bytes));
#else
  IntVec wide;
  for (int64_t lane = 0; lane < kLanes; ++lane) wide[lane] = from[lane];
#endif
  return __builtin_convertvector(wide, Vec);
}

constexpr int64_t kSums = 4;  // of each element: additions overlap

/// kRows rows from `row` on. Sum s takes vectors s, s + kSums, …, whatever the number of rows.
template <int64_t kRows>
void multiply_rows(const Int8Product& product, int64_t row, int64_t first, int64_t count) {
  const int64_t inner = product.inner;
  const float* a = product.a + row * inner;
  for (int64_t n = first; n < first + count; ++n) {
    const int8_t* weights = product.weights + n * inner;
    Vec sums[kRows][kSums] = {};
    for (int64_t k = 0; k < inner; k += kSums * kLanes) {
      for (int64_t s = 0; s < kSums; ++s) {
        const int64_t place = k + s * kLanes;
        const Vec weight = widen(weights + place);
        for (int64_t r = 0; r < kRows; ++r) sums[r][s] += weight * load(a + r * inner + place);
      }
    }
    for (int64_t r = 0; r < kRows; ++r) {
      const Vec sum = (sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]);
      product.out[(row + r) * product.out_stride + n] = product.scales[n] * sum_lanes(sum);
    }
  }
}

void int8_product(const Int8Product& product, int64_t first, int64_t count) {
  int64_t row = 0;
  for (; row + 4 <= product.rows; row += 4) multiply_rows<4>(product, row, first, count);
  for (; row < product.rows; ++row) multiply_rows<1>(product, row, first, count);
}

static_assert(kInt8Padding % (kSums * kLanes) == 0);

}  // namespace

void fill_int8_product(Kernels& table) { table.int8_product = int8_product; }

}  // namespace ssa::cpu::SSA_KERNEL_ISA
