#include "ssa/core/dtype.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <catch2/catch.hpp>

namespace ssa {
namespace {

template <class T>
T from_bits(uint32_t bits) {
  T value;
  value.bits = static_cast<uint16_t>(bits);
  return value;
}

float next_above(float x) { return std::nextafter(x, std::numeric_limits<float>::infinity()); }
float next_below(float x) { return std::nextafter(x, -std::numeric_limits<float>::infinity()); }

/// For two neighbours a < b of the low precision (a's bits are even if a_even): the midpoint is
/// rounded to the even one, other values to the nearer one.
template <class T>
void check_rounding(uint32_t bits) {
  const auto a = static_cast<float>(from_bits<T>(bits));
  const auto b = static_cast<float>(from_bits<T>(bits + 1));
  const float middle = a + (b - a) / 2;
  const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
  REQUIRE(T(middle).bits == even);
  REQUIRE(T(next_below(middle)).bits == bits);
  REQUIRE(T(next_above(middle)).bits == bits + 1);
  REQUIRE(T(-middle).bits == (even | 0x8000u));
}

}  // namespace

TEST_CASE("Every 16-bit pattern survives the way to f32 and back", "[dtype]") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto brain = from_bits<BFloat16>(bits);
    const auto brain_back = BFloat16(static_cast<float>(brain));
    if (std::isnan(static_cast<float>(brain))) {
      REQUIRE(std::isnan(static_cast<float>(brain_back)));
    } else {
      REQUIRE(brain_back.bits == bits);
    }
    const auto half = from_bits<Float16>(bits);
    const auto half_back = Float16(static_cast<float>(half));
    if (std::isnan(static_cast<float>(half))) {
      REQUIRE(std::isnan(static_cast<float>(half_back)));
    } else {
      REQUIRE(half_back.bits == bits);
    }
  }
}

TEST_CASE("Low precision rounds to nearest, ties to even", "[dtype]") {
  // Up to the last finite value; positive normals and subnormals. bf16 subnormals: f32's own.
  for (uint32_t bits = 0x0080; bits < 0x7f7f; ++bits) check_rounding<BFloat16>(bits);
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) check_rounding<Float16>(bits);
}

TEST_CASE("f16 has the values of IEEE 754 binary16", "[dtype]") {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const int exponent = static_cast<int>(bits >> 10);
    const double mantissa = (bits & 0x3ffu) / 1024.0;
    const double expected =
        exponent == 0 ? std::ldexp(mantissa, -14) : std::ldexp(1.0 + mantissa, exponent - 15);
    REQUIRE(static_cast<double>(from_bits<Float16>(bits)) == expected);
    REQUIRE(static_cast<double>(from_bits<Float16>(bits | 0x8000u)) == -expected);
  }
  CHECK(Float16(65504.0f).bits == 0x7bff);
  CHECK(Float16(65519.996f).bits == 0x7bff);
  CHECK(Float16(65520.0f).bits == 0x7c00);  // half way to 2^16: infinity
  CHECK(Float16(0x1p-25f).bits == 0);       // half of the smallest subnormal: even, so zero
  CHECK(Float16(0x1.8p-25f).bits == 1);
  CHECK(Float16(-0.0f).bits == 0x8000);
}

TEST_CASE("Infinities and NaN keep what they are", "[dtype]") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(static_cast<float>(BFloat16(infinity)) == infinity);
  CHECK(static_cast<float>(BFloat16(-infinity)) == -infinity);
  CHECK(static_cast<float>(Float16(-infinity)) == -infinity);
  CHECK(static_cast<float>(BFloat16(std::numeric_limits<float>::max())) == infinity);
  CHECK(static_cast<float>(Float16(std::numeric_limits<float>::max())) == infinity);
  // Truncation would turn a NaN with its payload in the lower half into infinity.
  const auto nan = std::bit_cast<float>(0x7f800001u);
  CHECK(std::isnan(static_cast<float>(BFloat16(nan))));
  CHECK(std::isnan(static_cast<float>(Float16(nan))));
  CHECK(BFloat16(-0.0f).bits == 0x8000);
}

TEST_CASE("Dtypes have names and sizes", "[dtype]") {
  for (const DType dtype :
       {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i32, DType::u8}) {
    CHECK(dtype_from_name(name(dtype)) == dtype);
  }
  CHECK(size_of(DType::f64) == 8);
  CHECK(size_of(DType::f32) == 4);
  CHECK(size_of(DType::i32) == 4);
  CHECK(size_of(DType::bf16) == 2);
  CHECK(size_of(DType::f16) == 2);
  CHECK(size_of(DType::u8) == 1);
  CHECK(is_floating(DType::f16));
  CHECK_FALSE(is_floating(DType::i32));
  CHECK_THROWS_WITH(dtype_from_name("float"), Catch::Contains("'float'") && Catch::Contains("f32"));
}

TEST_CASE("visit_floating names the C++ type", "[dtype]") {
  const auto size = [](auto tag) { return sizeof(typename decltype(tag)::type); };
  CHECK(visit_floating(DType::f64, size) == 8);
  CHECK(visit_floating(DType::bf16, size) == 2);
  const auto is_half = [](auto tag) {
    return std::is_same_v<typename decltype(tag)::type, Float16>;
  };
  CHECK(visit_floating(DType::f16, is_half));
  CHECK_FALSE(visit_floating(DType::bf16, is_half));
  CHECK_THROWS_WITH(visit_floating(DType::i32, size), Catch::Contains("i32"));
}

}  // namespace ssa
