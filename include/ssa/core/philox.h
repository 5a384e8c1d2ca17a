#pragma once

#include <array>
#include <cstdint>

namespace ssa {

/// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011): four
/// random words that are a pure function of a 128-bit counter and a 64-bit key. Defined here, and
/// constexpr, so that every backend, GPU kernels included, compiles the same integer arithmetic.
constexpr std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter,
                                                std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

/// What a stream of random numbers is for. Streams of different purposes never overlap.
enum class RngPurpose : uint8_t {
  plan = 1,      ///< source plans in training
  ensemble = 2,  ///< source plans at inference
  init = 3,      ///< parameter initialisation
  data = 4,      ///< shuffling
  dropout = 5,   ///< residual and embedding dropout
  attention_dropout = 6,
  activation_dropout = 7,
  generate = 8,      ///< sampling of tokens
  augmentation = 9,  ///< changes of training pictures
  test = 15
};

/// Names one stream of random numbers. No generator state exists anywhere: the n-th block of a
/// stream is philox4x32_10(counter(n), key), so a resumed run draws what the uninterrupted one
/// would have drawn, whatever the number of threads and wherever it runs.
struct RngKey {
  uint64_t seed = 0;
  RngPurpose purpose = RngPurpose::test;
  uint32_t step = 0;
  uint16_t rank = 0;
  uint16_t layer = 0;
  uint32_t stream = 0;  ///< window, micro-batch, tensor number, ...: 24 bits

  RngKey with_layer(int64_t value) const {
    RngKey copy = *this;
    copy.layer = static_cast<uint16_t>(value);
    return copy;
  }
  RngKey with_stream(int64_t value) const {
    RngKey copy = *this;
    copy.stream = static_cast<uint32_t>(value);
    return copy;
  }
  RngKey with_purpose(RngPurpose value) const {
    RngKey copy = *this;
    copy.purpose = value;
    return copy;
  }

  /// Words 4·block … 4·block+3 of the stream.
  constexpr std::array<uint32_t, 4> words(uint32_t block) const {
    return philox4x32_10({block, step, (uint32_t{layer} << 16) | rank,
                          (static_cast<uint32_t>(purpose) << 24) | (stream & 0xffffffu)},
                         {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  }

  /// Word `index` of the stream (index < 2^34).
  constexpr uint32_t word(uint64_t index) const {
    return words(static_cast<uint32_t>(index >> 2))[index & 3];
  }
};

/// A word as a number in the open interval (0, 1): (word + 0.5) / 2^32.
inline double uniform_open(uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

/// The standard normal quantile of uniform_open(word), built from additions, multiplications,
/// divisions and square roots only, so that every machine (and a GPU) gets the same bits.
/// Relative error below 1.2e-9 (Acklam's rational approximation).
double normal_from_word(uint32_t word);

}  // namespace ssa
