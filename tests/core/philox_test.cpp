#include "ssa/core/philox.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <set>

#include <catch2/catch.hpp>

namespace ssa {
namespace {

using Words = std::array<uint32_t, 4>;

/// Finds x with P(X < x) = p for a standard normal X, by bisection. Near the middle it compares p -
/// 1/2, since p itself has too few digits there.
long double exact_quantile(long double p) {
  long double low = -10.0L;
  long double high = 10.0L;
  for (int i = 0; i < 100; ++i) {
    const long double middle = 0.5L * (low + high);
    const long double z = middle / std::sqrt(2.0L);
    const bool below =
        std::abs(p - 0.5L) < 0.25L ? 0.5L * std::erf(z) < p - 0.5L : 0.5L * std::erfc(-z) < p;
    (below ? low : high) = middle;
  }
  return 0.5L * (low + high);
}

}  // namespace

TEST_CASE("Philox gives the known answers of Random123") {
  CHECK(philox4x32_10({0, 0, 0, 0}, {0, 0}) ==
        Words{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(philox4x32_10({0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
                      {0xffffffffu, 0xffffffffu}) ==
        Words{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(philox4x32_10({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
                      {0xa4093822u, 0x299f31d0u}) ==
        Words{0xd16cfe09u, 0x94fdcceb, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("Each part of a key makes another stream") {
  const RngKey key{.seed = 1, .purpose = RngPurpose::plan, .step = 2, .rank = 3, .layer = 4};
  std::set<Words> seen = {key.words(0), key.words(1)};
  RngKey other = key;
  other.seed = uint64_t{1} << 32 | 1;
  seen.insert(other.words(0));
  other = key;
  other.step = 3;
  seen.insert(other.words(0));
  other = key;
  other.rank = 4;
  seen.insert(other.words(0));
  seen.insert(key.with_layer(5).words(0));
  seen.insert(key.with_stream(1).words(0));
  seen.insert(key.with_purpose(RngPurpose::ensemble).words(0));
  CHECK(seen.size() == 8);
}

TEST_CASE("A word is its block's part") {
  const RngKey key{.seed = 99, .purpose = RngPurpose::test, .step = 1};
  for (uint64_t index : {uint64_t{0}, uint64_t{3}, uint64_t{4}, uint64_t{4097}}) {
    CHECK(key.word(index) == key.words(static_cast<uint32_t>(index / 4))[index % 4]);
  }
}

TEST_CASE("uniform_open never touches its ends") {
  CHECK(uniform_open(0) == 0x1p-33);
  CHECK(uniform_open(0xffffffffu) == 1.0 - 0x1p-33);
}

TEST_CASE("normal_from_word is the normal quantile") {
  const auto check = [](uint32_t word) {
    const long double exact =
        exact_quantile((static_cast<long double>(word) + 0.5L) / 4294967296.0L);
    const double error = std::abs(static_cast<double>(normal_from_word(word) / exact - 1.0L));
    INFO("word " << word << ", exact " << static_cast<double>(exact));
    CHECK(error < 1.2e-9);
  };
  for (const uint32_t word : {0u, 1u, 2u, 1000u, 0x7fffffffu, 0x80000000u, 0xfffffffeu, ~0u}) {
    check(word);
  }
  // Both sides of the point where the tail's formula begins.
  constexpr auto kTail = static_cast<uint32_t>(0.02425 * 4294967296.0);
  for (uint32_t i = 0; i < 8; ++i) {
    check(kTail - 4 + i);
    check(~(kTail - 4 + i));
  }
  for (uint32_t i = 0; i < 2000; ++i) check(i * 2147483u + 12345u);
}

TEST_CASE("normal_from_word is odd and increasing") {
  double last = normal_from_word(0);
  for (uint32_t i = 1; i < 65536; ++i) {
    const uint32_t word = i << 16;
    const double value = normal_from_word(word);
    REQUIRE(value > last);
    REQUIRE(normal_from_word(~word) == -value);
    last = value;
  }
}

TEST_CASE("normal_from_word is largest at the last word") {
  // The rarest words, one by one: there the curve is steepest. Causal windows rely on it.
  double last = normal_from_word(0);
  for (uint32_t word = 1; word < 65536; ++word) {
    const double value = normal_from_word(word);
    REQUIRE(value > last);
    last = value;
  }
  CHECK(-normal_from_word(0) < 6.4);
}

TEST_CASE("Normals of a stream have the moments of a normal") {
  const RngKey key{.seed = 5, .purpose = RngPurpose::test};
  constexpr int kCount = 100000;
  std::array<double, 4> moments{};
  for (int i = 0; i < kCount; ++i) {
    const double x = normal_from_word(key.word(static_cast<uint64_t>(i)));
    double power = 1.0;
    for (double& moment : moments) moment += (power *= x) / kCount;
  }
  // Five standard errors: sqrt(1, 2, 15, 96) / sqrt(100000) each.
  CHECK(std::abs(moments[0]) < 0.016);
  CHECK(std::abs(moments[1] - 1.0) < 0.023);
  CHECK(std::abs(moments[2]) < 0.062);
  CHECK(std::abs(moments[3] - 3.0) < 0.155);
}

TEST_CASE("normal_from_word has the same bits everywhere") {
  const auto bits = [](uint32_t word) { return std::bit_cast<uint64_t>(normal_from_word(word)); };
  CHECK(bits(0u) == 0xc0195a1198ce64eeu);
  CHECK(bits(12345u) == 0xc0122445dd93070bu);
  CHECK(bits(0x06000000u) == 0xbfffcc812e96254du);
  CHECK(bits(0x12345678u) == 0xbff77b2634c95703u);
  CHECK(bits(0x7fffffffu) == 0xbdf40d9320575479u);
  CHECK(bits(0xdeadbeefu) == 0x3ff20293485c07eeu);
  CHECK(bits(0xffffffffu) == 0x40195a1198ce64eeu);
}

}  // namespace ssa
