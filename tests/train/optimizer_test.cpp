#include "ssa/train/optimizer.h"

#include <cmath>

#include "support/tensors.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

constexpr double kRate = 0.1, kScale = 0.5;
constexpr int kSteps = 4;

/// A matrix and a bias whose gradients are given, not computed.
struct Store {
  explicit Store(Device device, DType dtype) : store(device, dtype, 5) {
    store.add("matrix.weight", {3, 2}, Init::normal(1.0));
    store.add("matrix.bias", {3}, Init::normal(1.0));
  }
  std::vector<double> parameter(size_t i) const { return values(store.all()[i].variable.value()); }
  void set_gradient(size_t i, const std::vector<double>& wanted) const {
    const Variable& variable = store.all()[i].variable;
    variable.zero_grad();
    Tensor grad = Tensor::empty_like(variable.value());
    visit_floating(grad.dtype(), [&]<class T>(TypeTag<T>) {
      for (size_t k = 0; k < wanted.size(); ++k) grad.data<T>()[k] = static_cast<T>(wanted[k]);
    });
    variable.slot().accumulate(grad);
  }
  ParameterStore store;
};

/// The gradient of parameter i at a step: every element is different.
std::vector<double> gradient_at(int step, size_t parameter, size_t count) {
  const RngKey key{
      .seed = 9, .step = static_cast<uint32_t>(step), .layer = static_cast<uint16_t>(parameter)};
  std::vector<double> gradient;
  for (size_t k = 0; k < count; ++k) gradient.push_back(2 * uniform_open(key.word(k)) - 1);
  return gradient;
}

/// One scalar parameter with its optimizer state, updated as the papers write it.
struct ByHand {
  double value, first = 0, second = 0;

  void adam(double gradient, double decay, bool decoupled, const OptimizerConfig& config,
            int step) {
    gradient *= kScale;
    if (decoupled) value -= kRate * decay * value;
    if (!decoupled) gradient += decay * value;
    first = config.betas[0] * first + (1 - config.betas[0]) * gradient;
    second = config.betas[1] * second + (1 - config.betas[1]) * gradient * gradient;
    const double mean = first / (1 - std::pow(config.betas[0], step));
    const double square = second / (1 - std::pow(config.betas[1], step));
    value -= kRate * mean / (std::sqrt(square) + config.eps);
  }
  void nesterov(double gradient, double decay, const OptimizerConfig& config, int step) {
    gradient = gradient * kScale + decay * value;
    first = step == 1 ? gradient : config.momentum * first + gradient;
    value -= kRate * (gradient + config.momentum * first);
  }
};

void compare_with_hand(OptimizerKind kind, Device device, DType dtype, double tolerance) {
  OptimizerConfig config;
  config.kind = kind;
  config.betas = {0.8, 0.95};
  config.eps = 1e-3;
  config.weight_decay = 0.3;
  config.momentum = 0.7;
  const Store store(device, dtype);
  Optimizer optimizer(config, store.store);
  std::vector<std::vector<ByHand>> expected(2);
  for (size_t i = 0; i < 2; ++i) {
    for (const double value : store.parameter(i)) expected[i].push_back({value});
  }
  for (int step = 1; step <= kSteps; ++step) {
    for (size_t i = 0; i < 2; ++i) {
      const std::vector<double> gradient = gradient_at(step, i, expected[i].size());
      store.set_gradient(i, gradient);
      const double decay = i == 0 ? 0.3 : 0.0;  // matrices only
      for (size_t k = 0; k < gradient.size(); ++k) {
        if (kind == OptimizerKind::sgd) {
          expected[i][k].nesterov(gradient[k], decay, config, step);
        } else {
          expected[i][k].adam(gradient[k], decay, kind == OptimizerKind::adamw, config, step);
        }
      }
    }
    optimizer.step(kRate, kScale);
    CHECK(optimizer.updates() == step);
    for (size_t i = 0; i < 2; ++i) {
      const std::vector<double> got = store.parameter(i);
      for (size_t k = 0; k < got.size(); ++k) {
        INFO("step " << step << ", parameter " << i << ", element " << k);
        CHECK(std::abs(got[k] - expected[i][k].value) <= tolerance);
      }
    }
  }
}

}  // namespace

TEST_CASE("every optimizer follows the update written out by hand, decaying matrices only") {
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::sgd}) {
    CAPTURE(static_cast<int>(kind));
    compare_with_hand(kind, Device::reference, DType::f64, 1e-13);
    compare_with_hand(kind, Device::cpu, DType::f32, 2e-6);
  }
}

TEST_CASE("weight decay leaves a matrix alone that was added with Decay::never") {
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::sgd}) {
    CAPTURE(static_cast<int>(kind));
    const auto updated = [&](Decay decay, double weight_decay) {
      ParameterStore store(Device::reference, DType::f64, 5);
      const Variable table = store.add("table", {3, 2}, Init::normal(1.0), decay);
      OptimizerConfig config;
      config.kind = kind;
      config.weight_decay = weight_decay;
      Optimizer optimizer(config, store);
      table.zero_grad();
      table.slot().accumulate(f64({1, -2, 3, 0, 0, 1}, {3, 2}));
      optimizer.step(kRate, kScale);
      return values(table.value());
    };
    CHECK(updated(Decay::never, 0.3) == updated(Decay::never, 0.0));
    CHECK(updated(Decay::matrices, 0.3) != updated(Decay::matrices, 0.0));
  }
}

TEST_CASE("the sum of squares is that of all gradients together") {
  const Store store(Device::reference, DType::f64);
  const Optimizer optimizer({}, store.store);
  CHECK(optimizer.sum_squares() == 0.0);
  store.set_gradient(0, {1, -2, 3, 0, 0, 1});
  CHECK(optimizer.sum_squares() == Approx(15.0));
  store.set_gradient(1, {0, 1, -3});
  CHECK(optimizer.sum_squares() == Approx(25.0));
}

TEST_CASE("a parameter without a gradient stays as it is, its state too") {
  const Store store(Device::reference, DType::f64);
  OptimizerConfig config;
  config.weight_decay = 0.1;
  Optimizer optimizer(config, store.store);
  const std::vector<double> matrix = store.parameter(0), bias = store.parameter(1);
  store.set_gradient(1, {1, 1, 1});
  optimizer.step(kRate, 1.0);
  CHECK(store.parameter(0) == matrix);
  CHECK(values(optimizer.state()[0].tensor) == std::vector<double>(6, 0.0));
  CHECK(store.parameter(1) != bias);
}

TEST_CASE("a parameter updated in pieces gets the same bits, and the state is theirs") {
  const auto kind = GENERATE(OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::sgd);
  const bool reference = GENERATE(true, false);
  CAPTURE(static_cast<int>(kind), reference);
  OptimizerConfig config;
  config.kind = kind;
  config.weight_decay = 0.1;
  const Device device = reference ? Device::reference : Device::cpu;
  const DType dtype = reference ? DType::f64 : DType::f32;
  const Store whole(device, dtype), cut(device, dtype);
  Optimizer one(config, whole.store);
  // As two ranks might share them.
  Optimizer left(config, cut.store, {{0, 0, 4}}),
      right(config, cut.store, {{0, 4, 5}, {0, 5, 6}, {1, 0, 3}});
  for (int step = 1; step <= kSteps; ++step) {
    for (size_t i = 0; i < 2; ++i) {
      const std::vector<double> gradient = gradient_at(step, i, i == 0 ? 6 : 3);
      whole.set_gradient(i, gradient);
      cut.set_gradient(i, gradient);
    }
    CHECK(left.sum_squares() + right.sum_squares() == Approx(one.sum_squares()));
    CHECK(left.sum_squares() > 0);
    for (Optimizer* optimizer : {&one, &left, &right}) optimizer->step(kRate, kScale);
    for (size_t i = 0; i < 2; ++i) CHECK(cut.parameter(i) == whole.parameter(i));
  }

  const bool adam = kind != OptimizerKind::sgd;
  const std::string first = adam ? "first_moment." : "momentum.";
  CHECK(left.state()[0].name == first + "matrix.weight[0:4]");
  CHECK(left.state()[0].whole == first + "matrix.weight");
  CHECK(right.state()[0].name == first + "matrix.weight[4:5]");
  CHECK(right.state().back().name ==
        (adam ? "second_moment." : first) + std::string("matrix.bias"));
  CHECK(right.state().back().tensor.shape() == Shape{3});
  std::vector<double> joined = values(left.state()[0].tensor);
  for (const size_t i : {1, 2}) {
    const std::vector<double> part = values(right.state()[adam ? 2 * i - 2 : i - 1].tensor);
    joined.insert(joined.end(), part.begin(), part.end());
  }
  CHECK(joined == values(one.state()[0].tensor));
}

TEST_CASE("the state is named after the parameters and starts at zero") {
  const Store store(Device::cpu, DType::f32);
  const auto names = [&](OptimizerKind kind) {
    OptimizerConfig config;
    config.kind = kind;
    const Optimizer optimizer(config, store.store);
    std::vector<std::string> result;
    for (const Optimizer::State& state : optimizer.state()) {
      result.push_back(state.name);
      for (const double value : values(state.tensor)) CHECK(value == 0.0);
    }
    return result;
  };
  const std::vector<std::string> moments = {
      "first_moment.matrix.weight", "second_moment.matrix.weight", "first_moment.matrix.bias",
      "second_moment.matrix.bias"};
  CHECK(names(OptimizerKind::adam) == moments);
  CHECK(names(OptimizerKind::adamw) == moments);
  CHECK(names(OptimizerKind::sgd) ==
        std::vector<std::string>{"momentum.matrix.weight", "momentum.matrix.bias"});
}
