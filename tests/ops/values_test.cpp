// The values of each op, against numbers worked out elsewhere. A gradient check alone would accept
// a wrong function with the right derivative.

#include <cmath>

#include "ssa/ops/ops.h"

#include "support/tensors.h"

namespace ssa {
namespace {

using testing::f64;
using testing::i32;
using testing::leaf;
using testing::random_f64;
using testing::values;
using Values = std::vector<double>;

void check_close(const Tensor& tensor, const Values& expected) {
  const Values got = values(tensor);
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == Approx(expected[i]).epsilon(1e-13).margin(1e-13));
  }
}

TEST_CASE("values: add, scale, reshape", "[ops]") {
  const Variable a(f64({1, 2, 3, 4}, {2, 2})), b(f64({10, 20, 30, 40}, {2, 2}));
  CHECK(values(ops::add(a, b).value()) == Values{11, 22, 33, 44});
  CHECK(values(ops::scale(a, -0.5).value()) == Values{-0.5, -1, -1.5, -2});
  const Variable flat = ops::reshape(a, {4});
  CHECK(flat.shape() == Shape{4});
  CHECK(values(flat.value()) == Values{1, 2, 3, 4});
}

TEST_CASE("values: linear is x times the weight transposed, plus the bias", "[ops]") {
  const Variable x(f64({1, 2, 3, 4, 5, 6}, {2, 3})), bias(f64({100, 200}));
  const Variable weight(f64({1, 0, -1, 2, 1, 0}, {2, 3}));
  CHECK(values(ops::linear(x, {weight, Variable()}).value()) == Values{-2, 4, -2, 13});
  CHECK(values(ops::linear(x, {weight, bias}).value()) == Values{98, 204, 98, 213});
}

TEST_CASE("values: activations", "[ops]") {
  const Variable x(f64({-2, -1, 0, 0.5, 1}));
  // x·Φ(x), from a table of the normal distribution.
  check_close(
      ops::activation(Activation::gelu, x).value(),
      {-0.04550026389635842, -0.15865525393145707, 0, 0.34573123063700656, 0.8413447460685429});
  // x/2·(1 + tanh(√(2/π)·(x + 0.044715 x³))), by Python's math.tanh.
  check_close(
      ops::activation(Activation::gelu_tanh, x).value(),
      {-0.04540230591222494, -0.15880800939172324, 0, 0.34571400982514394, 0.8411919906082768});
  CHECK(values(ops::activation(Activation::relu, x).value()) == Values{0, 0, 0, 0.5, 1});
  check_close(ops::activation(Activation::elu, x).value(),
              {-0.8646647167633873, -0.6321205588285577, 0, 0.5, 1});
}

TEST_CASE("values: layer_norm", "[ops]") {
  // Mean 3, variance 5; then a constant row, which eps keeps finite.
  const Variable x(f64({0, 2, 4, 6, 7, 7, 7, 7}, {2, 4}));
  const Variable gain(f64({1, 2, 1, 1})), shift(f64({0, 0, 10, 0}));
  const double unit = 1 / std::sqrt(5.0);
  check_close(ops::layer_norm(x, gain, shift, 0.0).value().slice(0, 0, 1),
              {-3 * unit, -2 * unit, 10 + unit, 3 * unit});
  const double with_eps = 1 / std::sqrt(5.25);
  check_close(ops::layer_norm(x, gain, shift, 0.25).value(),
              {-3 * with_eps, -2 * with_eps, 10 + with_eps, 3 * with_eps, 0, 0, 10, 0});
}

TEST_CASE("values: embedding looks up rows and scales them", "[ops]") {
  const Variable table(f64({1, 2, 3, 4, 5, 6}, {3, 2}));
  const Variable rows = ops::embedding(table, i32({2, 0, 2, 1}), 10, DType::f64);
  CHECK(rows.shape() == Shape{4, 2});
  CHECK(values(rows.value()) == Values{50, 60, 10, 20, 50, 60, 30, 40});
}

TEST_CASE("values: cross_entropy in nats, 0 where ignored", "[ops]") {
  const Variable logits(f64({0, 0, 0, std::log(2.0), 0, 0, 1, 2, 3, 1000, 0, -1000}, {4, 3}));
  check_close(ops::cross_entropy(logits, i32({1, 0, -1, 1})).value(),
              {std::log(3.0), std::log(2.0), 0, 1000});
}

TEST_CASE("values: cross_entropy gives ignored rows no gradient at all", "[ops]") {
  const Variable logits = leaf(random_f64({3, 4}, 1));
  ops::cross_entropy(logits, i32({-1, 2, -1})).backward(f64({5, 5, 5}));
  const Values grad = values(logits.grad());
  for (const size_t i : {0, 1, 2, 3, 8, 9, 10, 11}) CHECK(grad[i] == 0.0);
  CHECK(grad[6] < 0);
}

TEST_CASE("values: dropout keeps what its key says, scaled, in both directions", "[ops]") {
  const RngKey key{.seed = 9, .purpose = RngPurpose::dropout, .step = 1, .layer = 4, .stream = 2};
  const double probability = 0.25;
  const Variable x = leaf(random_f64({50, 41}, 1, 1.0, 2.0));
  const Variable y = ops::dropout(x, {probability, key});
  const Tensor seed = random_f64({50, 41}, 2, 1.0, 2.0);
  y.backward(seed);
  const Values in = values(x.value()), out = values(y.value()), grad_out = values(seed),
               grad_in = values(x.grad());
  size_t dropped = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const bool drops = key.word(i) < 0x40000000u;
    dropped += drops ? 1 : 0;
    const double factor = drops ? 0.0 : 1 / 0.75;
    REQUIRE(out[i] == Approx(factor * in[i]).epsilon(1e-14));
    REQUIRE(grad_in[i] == Approx(factor * grad_out[i]).epsilon(1e-14));
  }
  // 2050 draws: six standard deviations are 118.
  CHECK(std::abs(static_cast<double>(dropped) - 512.5) < 118);
  CHECK(values(ops::dropout(x, {probability, key.with_stream(3)}).value()) != out);
  CHECK(values(ops::dropout(x, {}).value()) == in);
}

}  // namespace
}  // namespace ssa
