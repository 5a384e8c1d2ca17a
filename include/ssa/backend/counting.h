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
  bool of_vocabulary = false;  ///< asked for inside a VocabularyPart
  double flop() const {
    return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
  auto operator<=>(const CountedProduct&) const = default;
};

/// What a device was asked to compute. A multiplication and an addition count one each; attention
/// counts every pair of a target and a source of its plan, whether a mask hides it or not.
struct Tally {
  std::map<CountedProduct, int64_t> products;  ///< how often each shape was multiplied
  double attention_flop = 0;                   ///< 4·T·S·D for each window, head and sequence
  double attention_backward_flop = 0;          ///< 10·T·S·D: logits again, and four gradients
  /// Elements that each other primitive wrote.
  std::map<std::string, double> elements;

  /// Of all products but those marked as the vocabulary's.
  double product_flop() const;
};

/// Counts what this thread asks Device::counting for, as long as it lives: operations, and the
/// memory that tensors would take, with the workspaces that the cpu backend holds during a call.
/// Nothing is computed and nothing allocated, so that a model may be of any size. Sums that the
/// host asks for are 0. One can live at a time in a thread; its tensors must not outlive it.
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

/// Marks the products that this thread asks for while one lives as the vocabulary's: those of
/// embeddings and output layers, which the paper's counts leave out.
class VocabularyPart {
 public:
  VocabularyPart();
  ~VocabularyPart();
  VocabularyPart(const VocabularyPart&) = delete;
  VocabularyPart& operator=(const VocabularyPart&) = delete;
};

}  // namespace ssa
