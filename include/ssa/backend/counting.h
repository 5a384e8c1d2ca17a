#pragma once

#include <compare>
#include <map>
#include <memory>
#include <string>

#include "ssa/core/allocator.h"

namespace ssa {

/// One shape of matrix products: out (m, n) with sums of length k.
struct CountedProduct {
  enum class Kind {
    weights,          ///< data · packed weights: forward, and the gradient of the input
    weight_gradient,  ///< dataᵀ · data
    data              ///< data · data: of attention that stores its weights
  } kind = Kind::weights;
  int64_t m = 0, n = 0, k = 0;
  bool of_vocabulary = false;  ///< computed inside a VocabularyPart
  double flop() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes `default` for a null pointer.
  auto operator<=>(const CountedProduct&) const = default;
};

/// What a device would have computed. A multiplication and an addition count 1 each. Attention
/// counts every pair of a target and a source of its plan, masked or not.
struct Tally {
  std::map<CountedProduct, int64_t> products;  ///< how often each shape was multiplied
  double attention_flop = 0;                   ///< 4·T·S·D for each window, head and sequence
  double attention_backward_flop = 0;          ///< 10·T·S·D: logits again, and four gradients
  /// Elements that each other primitive wrote.
  std::map<std::string, double> elements;

  /// The sum over all products except the vocabulary's.
  double product_flop() const;
};

/// While it lives, counts the calls that this thread makes to the backend of Device::counting:
/// operations, and the memory of tensors and of the CPU backend's workspaces. Nothing is computed
/// and nothing allocated, so a model may have any size. Sums that the host reads are 0. A thread
/// can have one at a time. Tensors must not outlive it.
class Count {
 public:
  Count();
  ~Count();
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;

  const Tally& tally() const;
  MemoryStats memory() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// While one lives, products of this thread are marked as the vocabulary's: those of embeddings and
/// output layers, which the paper leaves out of its counts.
class VocabularyPart {
 public:
  VocabularyPart();
  ~VocabularyPart();
  VocabularyPart(const VocabularyPart&) = delete;
  VocabularyPart& operator=(const VocabularyPart&) = delete;
};

}  // namespace ssa
