#include "ssa/core/dtype.h"

#include <array>
#include <utility>

namespace ssa {

namespace {

constexpr std::array<std::pair<DType, std::string_view>, 6> kNames = {{{DType::f64, "f64"},
                                                                       {DType::f32, "f32"},
                                                                       {DType::bf16, "bf16"},
                                                                       {DType::f16, "f16"},
                                                                       {DType::i32, "i32"},
                                                                       {DType::u8, "u8"}}};

}  // namespace

BFloat16::BFloat16(float value) {
  const auto word = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) {
    bits = static_cast<uint16_t>((word >> 16) | 0x40u);  // keep it a quiet NaN
  } else {
    bits = static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
}

Float16::Float16(float value) {
  const auto word = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (word >> 16) & 0x8000u;
  const uint32_t magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {  // NaN
    bits = static_cast<uint16_t>(sign | 0x7e00u);
  } else if (magnitude >= 0x477ff000u) {  // rounds to infinity
    bits = static_cast<uint16_t>(sign | 0x7c00u);
  } else if (magnitude < 0x38800000u) {  // subnormal: let f32 addition round to a multiple of 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  } else {
    const uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u);
    bits = static_cast<uint16_t>(sign | (rounded >> 13));
  }
}

Float16::operator float() const {
  const uint32_t sign = (uint32_t{bits} & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 0xffu : exponent + 112u;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

std::string_view name(DType dtype) {
  for (const auto& [value, text] : kNames) {
    if (value == dtype) return text;
  }
  return "unknown";
}

DType dtype_from_name(std::string_view text) {
  for (const auto& [value, candidate] : kNames) {
    if (candidate == text) return value;
  }
  throw ConfigError("no dtype is called '{}'; there are f64, f32, bf16, f16, i32, u8", text);
}

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

}  // namespace ssa
