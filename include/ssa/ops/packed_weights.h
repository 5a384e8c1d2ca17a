#pragma once

#include <memory>
#include <vector>

#include "ssa/autograd/variable.h"
#include "ssa/backend/backend.h"

namespace ssa::ops {

/// Weight matrices of a linear map, (out_i, in) each, taken as one matrix stacked over its rows,
/// with the packed copies that products use. A copy is made when it is first asked for and again
/// after a weight was written (Tensor::version), so once an optimizer step. Copies of this object
/// share the packed copies.
class PackedWeights {
 public:
  PackedWeights() = default;
  /// At least one; undefined variables (of a dry ParameterStore) make an object that only counts.
  explicit PackedWeights(std::vector<Variable> parts);

  const std::vector<Variable>& parts() const { return parts_; }
  int64_t in() const { return parts_.front().dim(1); }
  int64_t out() const;
  /// Wᵀ (in, out), for x·Wᵀ with x of dtype `data`.
  std::shared_ptr<const PackedMatrix> transposed(DType data) const;
  /// W (out, in), for dY·W.
  std::shared_ptr<const PackedMatrix> plain(DType data) const;

 private:
  struct Copy {
    std::shared_ptr<PackedMatrix> matrix;
    std::vector<uint64_t> versions;  // of the parts that `matrix` was made from
  };
  struct Copies {
    Copy transposed, plain;
  };
  std::shared_ptr<const PackedMatrix> current(Copy& copy, bool transpose, DType data) const;

  std::vector<Variable> parts_;
  std::shared_ptr<Copies> copies_;
};

}  // namespace ssa::ops
