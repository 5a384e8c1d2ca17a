#include "ssa/ops/packed_weights.h"

#include <utility>

namespace ssa::ops {

namespace {

thread_local bool packs_for_one_use = false;

}  // namespace

PackForOneUse::PackForOneUse() : before_(std::exchange(packs_for_one_use, true)) {}
PackForOneUse::~PackForOneUse() { packs_for_one_use = before_; }

PackedWeights::PackedWeights(std::vector<Variable> parts)
    : parts_(std::move(parts)), copies_(std::make_shared<Copies>()) {}

int64_t PackedWeights::out() const {
  int64_t total = 0;
  for (const Variable& part : parts_) total += part.dim(0);
  return total;
}

std::shared_ptr<const PackedMatrix> PackedWeights::transposed(DType data) const {
  return current(copies_->transposed, true, data);
}

std::shared_ptr<const PackedMatrix> PackedWeights::plain(DType data) const {
  return current(copies_->plain, false, data);
}

std::shared_ptr<const PackedMatrix> PackedWeights::current(Copy& copy, bool transpose,
                                                           DType data) const {
  std::vector<uint64_t> versions;
  for (const Variable& part : parts_) versions.push_back(part.value().version());
  const bool fits = copy.matrix && copy.matrix->dtype() == data;
  if (fits && copy.versions == versions) {
    return packs_for_one_use ? std::exchange(copy, {}).matrix : copy.matrix;
  }
  std::vector<Tensor> values;
  for (const Variable& part : parts_) values.push_back(part.value());
  Backend& compute = backend(values.front().device());
  if (packs_for_one_use) {
    copy = {};
    return compute.pack(values, transpose, data, nullptr);
  }
  copy.matrix = compute.pack(values, transpose, data, fits ? copy.matrix : nullptr);
  copy.versions = std::move(versions);
  return copy.matrix;
}

}  // namespace ssa::ops
