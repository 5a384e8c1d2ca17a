#pragma once

// The quantile of the standard normal distribution. It uses additions, multiplications, divisions
// and square roots of f64 only, so that every machine with IEEE 754 arithmetic gets the same bits.
// The build must not contract them to fused multiply-adds.

#include <bit>
#include <cmath>
#include <cstdint>

namespace ssa::normal_quantile {

/// Natural logarithm of a normal positive double by ln m = 2 artanh((m-1)/(m+1)). The C library's
/// log may differ in the last bit from one machine to the next; this one cannot.
constexpr double reproducible_log(double x) {
  constexpr double kLn2 = 0.69314718055994530942;
  const auto bits = std::bit_cast<uint64_t>(x);
  double exponent = static_cast<double>(static_cast<int64_t>(bits >> 52) - 1023);
  double mantissa = std::bit_cast<double>((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent += 1.0;
  }
  const double s = (mantissa - 1.0) / (mantissa + 1.0);  // |s| < 0.172
  const double s2 = s * s;
  double series = 0.0;
  for (int odd = 23; odd >= 1; odd -= 2) series = series * s2 + 1.0 / odd;
  return exponent * kLn2 + 2.0 * s * series;
}

template <int n>
constexpr double polynomial(const double (&coefficients)[n], double x) {
  double value = coefficients[0];
  for (int i = 1; i < n; ++i) value = value * x + coefficients[i];
  return value;
}

// Coefficients of P. J. Acklam's approximation to the inverse normal distribution function.

/// For probabilities around 0.5.
constexpr double centre(double p) {
  constexpr double kNumerator[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                                   -2.759285104469687e+02, 1.383577518672690e+02,
                                   -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double kDenominator[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                                     -1.556989798598866e+02, 6.680131188771972e+01,
                                     -1.328068155288572e+01, 1.0};
  const double q = p - 0.5;
  const double r = q * q;
  return polynomial(kNumerator, r) * q / polynomial(kDenominator, r);
}

/// For small ones, given q = √(-2 ln p).
constexpr double lower_tail(double q) {
  constexpr double kNumerator[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                                   -2.400758277161838e+00, -2.549732539343734e+00,
                                   4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double kDenominator[] = {7.784695709041462e-03, 3.224671290700398e-01,
                                     2.445134137142996e+00, 3.754408661907416e+00, 1.0};
  return polynomial(kNumerator, q) / polynomial(kDenominator, q);
}

/// The quantile of uniform_open(word).
inline double of_word(uint32_t word) {
  constexpr double kTailBegins = 0.02425;
  const double p = (static_cast<double>(word) + 0.5) * 0x1p-32;
  if (p < kTailBegins) return lower_tail(std::sqrt(-2.0 * reproducible_log(p)));
  if (p > 1.0 - kTailBegins) return -lower_tail(std::sqrt(-2.0 * reproducible_log(1.0 - p)));
  return centre(p);
}

}  // namespace ssa::normal_quantile
