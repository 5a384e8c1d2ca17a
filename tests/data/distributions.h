#pragma once

#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

// How numbers that are drawn at random are held to their distribution.

namespace ssa::testing {

/// Pearson's chi-square of counts that are expected to be equal, in its standard deviations from
/// its mean.
inline double evenness(const std::vector<int64_t>& counts) {
  const auto total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  const double expected = static_cast<double>(total) / static_cast<double>(counts.size());
  double sum = 0;
  for (const int64_t count : counts) {
    sum += std::pow(static_cast<double>(count) - expected, 2) / expected;
  }
  const double freedom = static_cast<double>(counts.size()) - 1;
  return (sum - freedom) / std::sqrt(2 * freedom);
}

/// Counts of numbers in [low, high) in twenty equal bins.
inline std::vector<int64_t> binned(const std::vector<double>& numbers, double low, double high) {
  std::vector<int64_t> counts(20);
  for (const double number : numbers) {
    const double part = (number - low) / (high - low);
    ++counts.at(static_cast<size_t>(part * static_cast<double>(counts.size())));
  }
  return counts;
}

inline double mean(const std::vector<double>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
}

/// Checks mean and standard deviation against those of `draws` numbers that timm has drawn.
inline void check_moments(const std::vector<double>& numbers, const nlohmann::json& expected,
                          int64_t draws) {
  const double center = mean(numbers);
  std::vector<double> squares;
  for (const double number : numbers) squares.push_back(std::pow(number - center, 2));
  const double spread = expected.at("std");
  const double error =
      spread * std::sqrt(1 / static_cast<double>(numbers.size()) + 1 / static_cast<double>(draws));
  CHECK(std::abs(center - expected.at("mean").get<double>()) < 4 * error);
  CHECK(std::abs(std::sqrt(mean(squares)) - spread) < 4 * error);
}

}  // namespace ssa::testing
