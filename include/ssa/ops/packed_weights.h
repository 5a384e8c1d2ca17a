#pragma once

#include <memory>
#include <vector>

#include "ssa/autograd/variable.h"
#include "ssa/backend/backend.h"

namespace ssa::ops {

/// While one lives, this thread's products keep no packed copies of weights: a copy is made for the
/// product and released after it. For a step that uses each copy once. Copies that were kept before
/// are released by the next product with their weights.
class PackForOneUse {
 public:
  PackForOneUse();
  ~PackForOneUse();
  PackForOneUse(const PackForOneUse&) = delete;
  PackForOneUse& operator=(const PackForOneUse&) = delete;

 private:
  bool before_;
};

/// While one lives, this thread's products of weights use them in int8 (Backend::pack_int8), which
/// is for generation: backward does not know it.
class UseInt8Weights {
 public:
  UseInt8Weights();
  ~UseInt8Weights();
  UseInt8Weights(const UseInt8Weights&) = delete;
  UseInt8Weights& operator=(const UseInt8Weights&) = delete;

 private:
  bool before_;
};

/// The weight matrices of a linear map, (out_i, in) each, stacked over their rows into one matrix,
/// with the packed copies that products use. A copy is made at its first use, and again after a
/// weight was written (Tensor::version), so once per optimizer step; or for every use, under
/// PackForOneUse. Copies of this object share the packed copies.
class PackedWeights {
 public:
  PackedWeights() = default;
  /// Takes at least one weight. Undefined variables (of a dry ParameterStore) make an object that
  /// only counts.
  explicit PackedWeights(std::vector<Variable> parts);

  const std::vector<Variable>& parts() const { return parts_; }
  int64_t in() const { return parts_.front().dim(1); }
  int64_t out() const;
  /// Wᵀ (in, out), for x·Wᵀ with x of dtype `data`. Throws ConfigError under UseInt8Weights if the
  /// backend has no int8 products.
  std::shared_ptr<const PackedMatrix> transposed(DType data) const;
  /// W (out, in), for dY·W.
  std::shared_ptr<const PackedMatrix> plain(DType data) const;

 private:
  struct Copy {
    std::shared_ptr<PackedMatrix> matrix;
    std::vector<uint64_t> versions;  // of the weights when `matrix` was packed
  };
  struct Copies {
    Copy transposed, plain, int8;
  };
  std::shared_ptr<const PackedMatrix> current(Copy& copy, bool transpose, DType data) const;
  std::shared_ptr<const PackedMatrix> in_int8(DType data) const;

  std::vector<Variable> parts_;
  std::shared_ptr<Copies> copies_;
};

}  // namespace ssa::ops
