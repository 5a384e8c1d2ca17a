#include "ssa/train/weight_average.h"

#include "ssa/backend/backend.h"
#include "ssa/train/model_session.h"

namespace ssa {

WeightAverage::WeightAverage(double decay, const ParameterStore& store)
    : decay_(decay), store_(store) {
  for (const Parameter& parameter : store.all()) {
    const Tensor value = parameter.variable.value();
    average_.push_back(
        Tensor::empty(value.shape(), value.dtype(), value.device(), MemoryCategory::optimizer));
  }
  restart();
}

/// The average moves as gradient descent on ½·|average - parameter|² with step 1 - decay does. So
/// one call updates all tensors.
void WeightAverage::update() {
  std::vector<SgdArgs> steps;
  for (size_t i = 0; i < average_.size(); ++i) {
    steps.push_back({.parameter = average_[i],
                     .gradient = store_.all()[i].variable.value(),
                     .learning_rate = 1 - decay_,
                     .nesterov = false,
                     .weight_decay = 1,
                     .gradient_scale = -1});
  }
  backend(store_.device()).sgd_step(steps);
}

void WeightAverage::restart() {
  for (size_t i = 0; i < average_.size(); ++i) {
    backend(store_.device()).copy(store_.all()[i].variable.value(), average_[i]);
  }
}

void WeightAverage::swap() {
  Backend& compute = backend(store_.device());
  for (size_t i = 0; i < average_.size(); ++i) {
    Tensor parameter = store_.all()[i].variable.value();
    Tensor before = Tensor::empty_like(parameter);
    compute.copy(parameter, before);
    compute.copy(average_[i], parameter);
    compute.copy(before, average_[i]);
  }
}

void WeightAverage::load(const SafetensorsFile& file) { load_parameters(file, named()); }

std::vector<NamedTensor> WeightAverage::named() const {
  std::vector<NamedTensor> named;
  for (size_t i = 0; i < average_.size(); ++i) {
    named.push_back({store_.all()[i].name, average_[i]});
  }
  return named;
}

}  // namespace ssa
