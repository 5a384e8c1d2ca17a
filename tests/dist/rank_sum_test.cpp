#include "dist/rank_sum.h"

#include <bit>
#include <limits>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/core/philox.h"

namespace ssa::dist {
namespace {

/// Bits at random, so that every kind of number comes up, NaN and infinity as well.
template <class T, class Word>
std::vector<T> random_values(size_t count, uint32_t stream) {
  const RngKey key{.seed = 3, .purpose = RngPurpose::test, .stream = stream};
  std::vector<T> values;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t bits = uint64_t{key.word(2 * i)} << 32 | key.word(2 * i + 1);
    values.push_back(std::bit_cast<T>(static_cast<Word>(bits)));
  }
  return values;
}

template <class T, class Word, class Sum>
void check_sums(DType dtype) {
  for (const size_t count : {1u, 511u, 512u, 5000u}) {
    std::vector<std::vector<T>> values;
    for (uint32_t rank = 0; rank < 3; ++rank) {
      values.push_back(random_values<T, Word>(count, rank));
    }
    std::vector<T> out = values[1];  // in place
    const std::vector<const void*> parts = {values[0].data(), out.data(), values[2].data()};
    sum_in_order(dtype, parts, out.data(), static_cast<int64_t>(count));
    size_t wrong = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto sum =
          static_cast<T>(static_cast<Sum>(values[0][i]) + static_cast<Sum>(values[1][i]) +
                         static_cast<Sum>(values[2][i]));
      const bool both_nan = static_cast<Sum>(sum) != static_cast<Sum>(sum) &&
                            static_cast<Sum>(out[i]) != static_cast<Sum>(out[i]);
      if (!both_nan && std::bit_cast<Word>(out[i]) != std::bit_cast<Word>(sum)) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("Ranks' values are added in their order", "[dist]") {
  check_sums<float, uint32_t, float>(DType::f32);
  check_sums<double, uint64_t, double>(DType::f64);
  check_sums<BFloat16, uint16_t, float>(DType::bf16);  // BFloat16 itself rounds to nearest even
}

TEST_CASE("bf16 is rounded once, after the last addition", "[dist]") {
  // 1 + 1/256 lies halfway between two bf16 numbers: rounded at every step, the sum would stay 1.
  const BFloat16 one(1.0f), small(1.0f / 256);
  BFloat16 out;
  const std::vector<const void*> parts = {&one, &small, &small};
  sum_in_order(DType::bf16, parts, &out, 1);
  CHECK(static_cast<float>(out) == 1.0f + 1.0f / 128);
}

TEST_CASE("A sum of negative zeros is negative", "[dist]") {
  const float zero = -0.0f;
  float out = 1;
  const std::vector<const void*> parts = {&zero, &zero};
  sum_in_order(DType::f32, parts, &out, 1);
  CHECK(std::bit_cast<uint32_t>(out) == 0x80000000u);
}

TEST_CASE("Only floating dtypes are summed", "[dist]") {
  int32_t one = 1;
  const std::vector<const void*> parts = {&one};
  CHECK_THROWS_AS(sum_in_order(DType::i32, parts, &one, 1), ShapeError);
}

}  // namespace
}  // namespace ssa::dist
