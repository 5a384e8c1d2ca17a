// The gradient check itself: it must find the mistakes that it exists for.

#include "support/gradient_check.h"

#include "ssa/ops/ops.h"

namespace ssa {
namespace {

using testing::gradient_problems;
using testing::leaf;
using testing::random_f64;

/// 3·x with a wrong backward, as `spoil` makes it.
Variable times_three(const Variable& x, const std::function<void(Tensor&)>& spoil) {
  Tensor out = Tensor::empty_like(x.value());
  backend(out.device()).scale(x.value(), 3.0, out);
  return Variable::record(out, {x}, [spoil, to_x = x.slot()](const Tensor& grad) {
    Tensor grad_x = Tensor::empty_like(grad);
    backend(grad.device()).scale(grad, 3.0, grad_x);
    spoil(grad_x);
    to_x.accumulate(grad_x);
  });
}

TEST_CASE("gradient check: a right gradient passes", "[autograd]") {
  const Variable x = leaf(random_f64({3, 5}, 1));
  CHECK(
      gradient_problems("op", {{"x", x}}, [&] { return times_three(x, [](Tensor&) {}); }).empty());
}

TEST_CASE("gradient check: one wrong element is found and named", "[autograd]") {
  const Variable x = leaf(random_f64({3, 5}, 1));
  const auto problems = gradient_problems("triple", {{"x", x}}, [&] {
    return times_three(x, [](Tensor& grad) { grad.data<double>()[7] += 1e-6; });
  });
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0], Catch::Contains("triple: gradient of x[1, 2] is "));
}

TEST_CASE("gradient check: a wrong factor is found in every element", "[autograd]") {
  const Variable x = leaf(random_f64({3, 5}, 1, 0.5, 1.0));
  const auto problems = gradient_problems("op", {{"x", x}}, [&] {
    return times_three(x, [](Tensor& grad) { backend(grad.device()).scale(grad, 1.001, grad); });
  });
  CHECK(problems.size() == 15);
}

TEST_CASE("gradient check: NaN is not taken for a right gradient", "[autograd]") {
  const Variable x = leaf(random_f64({2}, 1));
  const auto problems = gradient_problems("op", {{"x", x}}, [&] {
    return times_three(x, [](Tensor& grad) { grad.data<double>()[0] = std::nan(""); });
  });
  CHECK(problems.size() == 1);
}

TEST_CASE("gradient check: a gradient that overwrites instead of adding is found", "[autograd]") {
  const Variable x = leaf(random_f64({4}, 1));
  const auto problems = gradient_problems("op", {{"x", x}}, [&] {
    Tensor out = Tensor::empty_like(x.value());
    backend(out.device()).scale(x.value(), 3.0, out);
    return Variable::record(out, {x}, [to_x = x.slot()](const Tensor& grad) {
      Tensor target = to_x.target().tensor;
      backend(grad.device()).scale(grad, 3.0, target);
    });
  });
  CHECK(problems.size() == 4);
}

TEST_CASE("gradient check: a missing gradient and a missing tape are found", "[autograd]") {
  const Variable x = leaf(random_f64({4}, 1)), y = leaf(random_f64({4}, 2));
  const auto missing =
      gradient_problems("op", {{"x", x}, {"y", y}}, [&] { return ops::scale(x, 2.0); });
  REQUIRE(missing.size() == 1);
  CHECK(missing[0] == "op: no gradient for y");
  const auto constant = gradient_problems("op", {{"x", x}}, [&] { return Variable(x.value()); });
  CHECK(constant.size() == 1);
}

TEST_CASE("gradient check: a gradient changed in place is found", "[autograd]") {
  const Variable x = leaf(random_f64({4}, 1));
  const auto problems = gradient_problems("op", {{"x", x}}, [&] {
    Tensor out = Tensor::empty_like(x.value());
    backend(out.device()).scale(x.value(), 3.0, out);
    return Variable::record(out, {x}, [to_x = x.slot()](const Tensor& grad) {
      Tensor same = grad;
      backend(grad.device()).scale(grad, 3.0, same);
      to_x.accumulate(same);
    });
  });
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0], Catch::Contains("changed the gradient"));
}

}  // namespace
}  // namespace ssa
