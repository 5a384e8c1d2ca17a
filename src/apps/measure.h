#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ssa/backend/backend.h"

// Timing of calls to a backend.

namespace ssa::bench {

/// Median seconds from a call until the device is done, after one call to warm up.
double median_seconds(int64_t repeats, Device device, const std::function<void()>& call);
/// Seconds of each of `repeats` calls that only queue work on the device, after one call to warm
/// up. Times several calls together by the device's events, so that launch overhead counts only if
/// the device waits for it.
std::vector<double> queued_seconds(int64_t repeats, Device device,
                                   const std::function<void()>& call);
/// Random numbers in ±1, the same in every run.
Tensor random_tensor(const Shape& shape, DType dtype, Device device, uint32_t stream);

/// One matrix product of a step: out (m, n) with sums of length k.
struct Product {
  enum class Kind {
    weights,          ///< data · packed weights: forward, and the gradient of the input
    weight_gradient,  ///< dataᵀ · data, f32 result
  } kind;
  int64_t m, n, k;
  double flop() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};
double product_seconds(const Product& product, DType dtype, Device device, int64_t repeats);
/// The measured peak in FLOP/s: the best rate of the backend's matmul on large squares.
double measured_peak(DType dtype, Device device, int64_t repeats = 5);
/// The median; of an even number of values the upper one. `seconds` must not be empty.
double median(std::vector<double> seconds);

}  // namespace ssa::bench
