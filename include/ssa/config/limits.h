#pragma once

#include <cstdint>

namespace ssa {

// The largest values of config keys, where several places need them.

/// The most sub-models of an ensemble: their numbers are part of a random key of 16 bits.
inline constexpr int64_t kMostSamples = 65536;
/// Largest value of keys that end up as an int32 position or in a product of two sizes.
inline constexpr double kMaxSize = 2147483647.0;
inline constexpr int64_t kMostLayers = 10000;
inline constexpr double kMostSteps = 1e12;
inline constexpr double kMostEpochs = 1e6;

}  // namespace ssa
