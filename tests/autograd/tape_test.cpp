// Which gradients arrive where: shared inputs, accumulation, constants, NoGrad, aliasing.

#include "ssa/ops/ops.h"

#include "support/gradient_check.h"

namespace ssa {
namespace {

using testing::f64;
using testing::i32;
using testing::leaf;
using testing::message_of;
using testing::random_f64;
using testing::values;
using Values = std::vector<double>;

TEST_CASE("tape: a value used twice collects both gradients", "[autograd]") {
  const Variable x = leaf(f64({1, -2, 4}));
  SECTION("as both operands of one op") {
    ops::add(x, x).backward(f64({1, 10, 100}));
    CHECK(values(x.grad()) == Values{2, 20, 200});
  }
  SECTION("by way of an intermediate result") {
    const Variable y = ops::scale(x, 2);
    ops::add(y, y).backward(f64({1, 10, 100}));
    CHECK(values(x.grad()) == Values{4, 40, 400});
  }
  SECTION("in a diamond") {
    const Variable y = ops::scale(x, 2);
    ops::add(ops::scale(y, 3), ops::scale(y, 5)).backward(f64({1, 10, 100}));
    CHECK(values(x.grad()) == Values{16, 160, 1600});
  }
  SECTION("in a diamond with sides of unequal length") {
    const Variable y = ops::scale(x, 2);
    const Variable far = ops::scale(ops::scale(ops::scale(y, 3), 5), 7);
    ops::add(ops::add(far, y), x).backward(f64({1, 10, 100}));
    CHECK(values(x.grad()) == Values{213, 2130, 21300});
  }
}

TEST_CASE("tape: a random graph of sums has the gradient that its coefficients say", "[autograd]") {
  const RngKey key{.seed = 3, .purpose = RngPurpose::test};
  const Variable x = leaf(f64({1.0}));
  std::vector<Variable> nodes = {x};
  std::vector<double> coefficients = {1.0};
  for (uint64_t i = 0; i < 40; ++i) {
    const size_t a = key.word(3 * i) % nodes.size(), b = key.word(3 * i + 1) % nodes.size();
    const double factor = (key.word(3 * i + 2) % 2 == 0) ? -0.5 : 0.75;
    nodes.push_back(ops::add(ops::scale(nodes[a], factor), nodes[b]));
    coefficients.push_back(factor * coefficients[a] + coefficients[b]);
  }
  REQUIRE(std::abs(coefficients.back()) > 1e-3);
  REQUIRE(values(nodes.back().value())[0] == Approx(coefficients.back()));
  nodes.back().backward(f64({2.0}));
  CHECK(values(x.grad())[0] == Approx(2 * coefficients.back()).epsilon(1e-12));
}

TEST_CASE("tape: gradients accumulate over backward calls until zero_grad", "[autograd]") {
  const Variable x = leaf(f64({1, 2}));
  CHECK_FALSE(x.grad().defined());
  ops::scale(x, 3).backward(f64({1, 10}));
  const std::byte* buffer = x.grad().raw();
  CHECK(values(x.grad()) == Values{3, 30});
  ops::scale(x, 5).backward(f64({1, 10}));
  CHECK(values(x.grad()) == Values{8, 80});
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  ops::scale(x, 7).backward(f64({1, 10}));
  CHECK(values(x.grad()) == Values{7, 70});
  CHECK(x.grad().raw() == buffer);  // kept for the next step
}

TEST_CASE("tape: backward from a leaf hands it the gradient", "[autograd]") {
  const Variable x = leaf(f64({1, 2}));
  const Tensor seed = f64({3, 4});
  x.backward(seed);
  x.backward(seed);
  CHECK(values(x.grad()) == Values{6, 8});
  CHECK(values(seed) == Values{3, 4});
}

TEST_CASE("tape: a gradient shared between slots is never written through one of them",
          "[autograd]") {
  // add() passes one tensor to both operands. A later gradient for `left` comes in from an op
  // recorded before, and so run after, that add; `right` must not see it.
  const Variable x = leaf(f64({1, 2, 3, 4}, {2, 2})), y = leaf(f64({5, 6, 7, 8}, {2, 2}));
  const Tensor seed = f64({1, 10, 100, 1000}, {2, 2});
  const Variable left = ops::scale(x, 2), right = ops::scale(y, 3);
  const Tensor identity = f64({7, 0, 0, 7}, {2, 2});
  const auto check = [&](const Variable& early) {
    const Variable sum = ops::add(left, right);
    ops::add(early, sum).backward(seed);
    CHECK(values(y.grad()) == Values{3, 30, 300, 3000});
    CHECK(values(x.grad()) == Values{16, 160, 1600, 16000});
    CHECK(values(seed) == Values{1, 10, 100, 1000});
  };
  SECTION("by adding up") { check(ops::scale(left, 7)); }
  SECTION("by a matrix product into the gradient") {
    check(ops::linear(left, {Variable(identity), Variable()}));
  }
  SECTION("by a scatter into the gradient") {
    check(ops::embedding(left, i32({0, 1}), 7, DType::f64));
  }
}

TEST_CASE("tape: what two leaves were given together stays apart afterwards", "[autograd]") {
  const Variable x = leaf(f64({1})), y = leaf(f64({2}));
  ops::add(x, y).backward(f64({5}));
  ops::scale(x, 1).backward(f64({100}));
  CHECK(values(x.grad()) == Values{105});
  CHECK(values(y.grad()) == Values{5});
}

TEST_CASE("tape: constants get no gradient and record nothing", "[autograd]") {
  const Variable constant(f64({1, 2})), x = leaf(f64({3, 4}));
  CHECK_FALSE(constant.requires_grad());
  CHECK_FALSE(constant.slot().wanted());
  CHECK_FALSE(ops::add(constant, constant).requires_grad());
  const Variable mixed = ops::add(constant, x);
  REQUIRE(mixed.requires_grad());
  mixed.backward(f64({1, 1}));
  CHECK(values(x.grad()) == Values{1, 1});
  CHECK_FALSE(constant.grad().defined());
}

TEST_CASE("tape: ops on unwanted inputs run their backward for the others", "[autograd]") {
  // Each op here has three inputs of which exactly one collects.
  const Tensor x = random_f64({3, 5}, 1), weight = random_f64({2, 5}, 2), bias = random_f64({2}, 3);
  const Tensor gain = random_f64({5}, 4), shift = random_f64({5}, 5);
  for (int wanted = 0; wanted < 3; ++wanted) {
    const auto var = [&](const Tensor& t, int i) { return Variable(t, i == wanted); };
    const Variable a = var(x, 0), b = var(weight, 1), c = var(bias, 2);
    testing::check_gradients(fmt::format("linear, only input {}", wanted),
                             {{"it", std::vector{a, b, c}[static_cast<size_t>(wanted)]}}, [&] {
                               return ops::linear(a, {b, c});
                             });
    const Variable d = var(x, 0), e = var(gain, 1), f = var(shift, 2);
    testing::check_gradients(fmt::format("layer_norm, only input {}", wanted),
                             {{"it", std::vector{d, e, f}[static_cast<size_t>(wanted)]}},
                             [&] { return ops::layer_norm(d, e, f, 1e-5); });
  }
}

TEST_CASE("tape: nothing is recorded under NoGrad", "[autograd]") {
  const Variable x = leaf(f64({1, 2}));
  CHECK(grad_enabled());
  {
    const NoGrad outer;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE(ops::scale(x, 2).requires_grad());
    { const NoGrad inner; }
    CHECK_FALSE(grad_enabled());
  }
  CHECK(grad_enabled());
  CHECK(ops::scale(x, 2).requires_grad());
}

TEST_CASE("tape: backward says what is wrong", "[autograd]") {
  const std::string constant =
      message_of<ShapeError>([] { Variable(f64({1})).backward(f64({1})); });
  CHECK_THAT(constant, Catch::Contains("backward"));
  const std::string shape = message_of<ShapeError>([] {
    ops::scale(leaf(f64({1, 2, 3})), 2).backward(f64({1, 2}));
  });
  CHECK_THAT(shape, Catch::Contains("(2)") && Catch::Contains("(3)"));
}

TEST_CASE("tape: a part of the graph that the result does not need is left alone", "[autograd]") {
  const Variable x = leaf(f64({1})), y = leaf(f64({2}));
  const Variable used = ops::scale(x, 2), unused = ops::add(used, y);
  ops::scale(used, 3).backward(f64({1}));
  CHECK(values(x.grad()) == Values{6});
  CHECK_FALSE(y.grad().defined());
}

}  // namespace
}  // namespace ssa
