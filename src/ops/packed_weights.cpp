#include "ssa/ops/packed_weights.h"

#include <utility>

#include "ssa/core/error.h"

namespace ssa::ops {

namespace {

thread_local bool packs_for_one_use = false;
thread_local bool uses_int8 = false;

std::vector<Tensor> values_of(const std::vector<Variable>& parts) {
  std::vector<Tensor> values;
  for (const Variable& part : parts) values.push_back(part.value());
  return values;
}

std::vector<uint64_t> versions_of(const std::vector<Variable>& parts) {
  std::vector<uint64_t> versions;
  for (const Variable& part : parts) versions.push_back(part.value().version());
  return versions;
}

}  // namespace

PackForOneUse::PackForOneUse() : before_(std::exchange(packs_for_one_use, true)) {}
PackForOneUse::~PackForOneUse() { packs_for_one_use = before_; }

UseInt8Weights::UseInt8Weights() : before_(std::exchange(uses_int8, true)) {}
UseInt8Weights::~UseInt8Weights() { uses_int8 = before_; }

PackedWeights::PackedWeights(std::vector<Variable> parts)
    : parts_(std::move(parts)), copies_(std::make_shared<Copies>()) {}

int64_t PackedWeights::out() const {
  int64_t total = 0;
  for (const Variable& part : parts_) total += part.dim(0);
  return total;
}

std::shared_ptr<const PackedMatrix> PackedWeights::transposed(DType data) const {
  return uses_int8 ? in_int8(data) : current(copies_->transposed, true, data);
}

std::shared_ptr<const PackedMatrix> PackedWeights::plain(DType data) const {
  return current(copies_->plain, false, data);
}

std::shared_ptr<const PackedMatrix> PackedWeights::in_int8(DType data) const {
  Copy& copy = copies_->int8;
  std::vector<uint64_t> versions = versions_of(parts_);
  if (copy.matrix && copy.matrix->dtype() == data && copy.versions == versions) return copy.matrix;
  const Device device = parts_.front().value().device();
  copy = {backend(device).pack_int8(values_of(parts_), data), std::move(versions)};
  if (!copy.matrix) {
    throw ConfigError("weights in int8: the {} backend has no products with them, the cpu one has",
                      name(device));
  }
  return copy.matrix;
}

std::shared_ptr<const PackedMatrix> PackedWeights::current(Copy& copy, bool transpose,
                                                           DType data) const {
  std::vector<uint64_t> versions = versions_of(parts_);
  const bool fits = copy.matrix && copy.matrix->dtype() == data;
  if (fits && copy.versions == versions) {
    return packs_for_one_use ? std::exchange(copy, {}).matrix : copy.matrix;
  }
  const std::vector<Tensor> values = values_of(parts_);
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
