// Activation checkpointing gives the same gradients, bit by bit, as training without it.

#include "ssa/ops/ops.h"

#include "support/gradient_check.h"

namespace ssa {
namespace {

using testing::f64;
using testing::leaf;
using testing::random_f64;
using testing::values;
using Values = std::vector<double>;

/// A small residual network with dropout; `layers` blocks of gain, weight and bias.
struct Network {
  struct Layer {
    Variable gain, shift, weight, bias;
  };
  std::vector<Layer> layers;
  explicit Network(int count) {
    for (int i = 0; i < count; ++i) {
      const auto stream = static_cast<uint32_t>(10 * i);
      layers.push_back({leaf(random_f64({5}, stream + 1)), leaf(random_f64({5}, stream + 2)),
                        leaf(random_f64({5, 5}, stream + 3)), leaf(random_f64({5}, stream + 4))});
    }
  }
  Variable block(int i, const Variable& x) const {
    const Layer& layer = layers[static_cast<size_t>(i)];
    const RngKey key{.seed = 5, .layer = static_cast<uint16_t>(i)};
    const Variable normed = ops::layer_norm(x, layer.gain, layer.shift, 1e-5);
    const Variable mixed =
        ops::activation(Activation::gelu, ops::linear(normed, {layer.weight, layer.bias}));
    return ops::add(x, ops::dropout(mixed, {0.3, key}));
  }
  Variable operator()(Variable x, bool with_checkpoints) const {
    for (int i = 0; i < static_cast<int>(layers.size()); ++i) {
      const auto part = [this, i](const Variable& in) { return block(i, in); };
      x = with_checkpoints ? recompute(part, x) : part(x);
    }
    return x;
  }
  /// Result and every gradient of one step.
  std::vector<Values> step(const Variable& x, bool with_checkpoints) const {
    x.zero_grad();
    for (const Layer& layer : layers) {
      for (const Variable& v : {layer.gain, layer.shift, layer.weight, layer.bias}) v.zero_grad();
    }
    const Variable y = (*this)(x, with_checkpoints);
    y.backward(random_f64(y.shape(), 99));
    std::vector<Values> all = {values(y.value())};
    if (x.requires_grad()) all.push_back(values(x.grad()));
    for (const Layer& layer : layers) {
      for (const Variable& v : {layer.gain, layer.shift, layer.weight, layer.bias}) {
        all.push_back(values(v.grad()));
      }
    }
    return all;
  }
};

TEST_CASE("checkpoint: bitwise the gradients of the plain network, dropout included",
          "[autograd]") {
  const Network network(3);
  const bool input_collects = GENERATE(true, false);
  CAPTURE(input_collects);
  const Variable x(random_f64({7, 5}, 77), input_collects);
  const std::vector<Values> plain = network.step(x, false);
  CHECK(network.step(x, true) == plain);
  CHECK(plain.size() == (input_collects ? 14 : 13));
}

TEST_CASE("checkpoint: gradients are right", "[autograd]") {
  const Network network(2);
  const Variable x = leaf(random_f64({3, 5}, 77));
  testing::check_gradients("checkpointed network",
                           {{"x", x},
                            {"first gain", network.layers[0].gain},
                            {"first weight", network.layers[0].weight},
                            {"last bias", network.layers[1].bias}},
                           [&] { return network(x, true); });
}

TEST_CASE("checkpoint: the function runs once forwards and once on the way back", "[autograd]") {
  const Variable x = leaf(f64({1, 2}));
  int runs = 0, recorded = 0;
  const auto function = [&](const Variable& in) {
    ++runs;
    recorded += grad_enabled() ? 1 : 0;
    return ops::scale(in, 3);
  };
  const Variable y = recompute(function, x);
  CHECK(runs == 1);
  CHECK(recorded == 0);
  y.backward(f64({1, 10}));
  CHECK(runs == 2);
  CHECK(recorded == 1);
  CHECK(values(x.grad()) == Values{3, 30});
}

TEST_CASE("checkpoint: an input that is also used elsewhere collects both", "[autograd]") {
  const Variable x = leaf(f64({1, 2}));
  const Variable y = ops::scale(x, 2);
  const auto triple = [](const Variable& in) { return ops::scale(in, 3); };
  ops::add(recompute(triple, y), y).backward(f64({1, 10}));
  CHECK(values(x.grad()) == Values{8, 80});
}

TEST_CASE("checkpoint: inside a checkpoint", "[autograd]") {
  const Variable x = leaf(f64({1, 2})), p = leaf(f64({4, 5}));
  const auto inner = [&](const Variable& in) { return ops::add(ops::scale(in, 3), p); };
  const auto outer = [&](const Variable& in) { return ops::scale(recompute(inner, in), 5); };
  const Variable y = recompute(outer, x);
  CHECK(values(y.value()) == Values{35, 55});
  y.backward(f64({1, 10}));
  CHECK(values(x.grad()) == Values{15, 150});
  CHECK(values(p.grad()) == Values{5, 50});
}

TEST_CASE("checkpoint: functions that return or ignore their input", "[autograd]") {
  const Variable x = leaf(f64({1, 2})), p = leaf(f64({4, 5}));
  SECTION("identity") {
    recompute([](const Variable& in) { return in; }, x).backward(f64({1, 10}));
    CHECK(values(x.grad()) == Values{1, 10});
  }
  SECTION("a parameter alone") {
    const auto ignore = [&](const Variable&) { return ops::scale(p, 2); };
    ops::add(recompute(ignore, x), x).backward(f64({1, 10}));
    CHECK(values(x.grad()) == Values{1, 10});
    CHECK(values(p.grad()) == Values{2, 20});
  }
}

TEST_CASE("checkpoint: a constant under NoGrad", "[autograd]") {
  const Variable x = leaf(f64({1, 2}));
  const NoGrad guard;
  const Variable y = recompute([](const Variable& in) { return ops::scale(in, 3); }, x);
  CHECK_FALSE(y.requires_grad());
  CHECK(values(y.value()) == Values{3, 6});
}

}  // namespace
}  // namespace ssa
