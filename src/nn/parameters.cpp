#include "ssa/nn/parameters.h"

#include <cmath>

#include "ssa/backend/backend.h"

namespace ssa {

Init Init::xavier_uniform(int64_t fan_in, int64_t fan_out, double gain) {
  return {Kind::uniform, gain * std::sqrt(6.0 / static_cast<double>(fan_in + fan_out))};
}

ParameterStore ParameterStore::dry() {
  ParameterStore store(Device::cpu, DType::f32, 0);
  store.dry_ = true;
  return store;
}

namespace {

double draw(const Init& init, uint32_t word) {
  switch (init.kind) {
    case Init::Kind::zeros:
      return 0.0;
    case Init::Kind::ones:
      return 1.0;
    case Init::Kind::normal:
      return init.spread * normal_from_word(word);
    case Init::Kind::uniform:
      return init.spread * (2.0 * uniform_open(word) - 1.0);
  }
  return 0.0;
}

/// Draws on the host in f32, so that all devices and dtypes start from the same numbers.
Tensor initial_values(const Shape& shape, const Init& init, const RngKey& key, Device device) {
  if (device == Device::counting) {
    return Tensor::empty(shape, DType::f32, device, MemoryCategory::parameters);
  }
  const Device drawn_on = is_host(device) ? device : Device::cpu;
  Tensor values = Tensor::empty(shape, DType::f32, drawn_on, MemoryCategory::parameters);
  float* data = values.data<float>();
  const int64_t count = shape.numel();
  for (int64_t block = 0; block * 4 < count; ++block) {
    const auto words = key.words(static_cast<uint32_t>(block));
    for (int64_t i = block * 4; i < std::min(count, block * 4 + 4); ++i) {
      data[i] = static_cast<float>(draw(init, words[static_cast<size_t>(i & 3)]));
    }
  }
  return values.to(device, MemoryCategory::parameters);
}

}  // namespace

Variable ParameterStore::add(const std::string& name, const Shape& shape, const Init& init,
                             Decay decay) {
  Parameter parameter{name, shape, {}, decay == Decay::matrices && shape.rank() > 1};
  if (!dry_) {
    const RngKey key{.seed = seed_,
                     .purpose = RngPurpose::init,
                     .stream = static_cast<uint32_t>(parameters_.size())};
    Tensor values = initial_values(shape, init, key, device_);
    if (dtype_ != DType::f32) {
      Tensor converted = Tensor::empty(shape, dtype_, device_, MemoryCategory::parameters);
      backend(device_).copy(values, converted);
      values = converted;
    }
    parameter.variable = Variable(values, true);
  }
  parameters_.push_back(parameter);
  return parameter.variable;
}

int64_t ParameterStore::count() const {
  int64_t total = 0;
  for (const Parameter& parameter : parameters_) total += parameter.shape.numel();
  return total;
}

void ParameterStore::zero_grad() const {
  for (const Parameter& parameter : parameters_) parameter.variable.zero_grad();
}

void ParameterStore::release_grad() const {
  for (const Parameter& parameter : parameters_) parameter.variable.release_grad();
}

void ParameterStore::mark_written() const {
  for (const Parameter& parameter : parameters_) {
    Tensor value = parameter.variable.value();
    value.raw();
  }
}

}  // namespace ssa
