// When leaves are told that their gradient is complete; buffers for leaves' gradients.

#include <map>
#include <string>

#include "ssa/ops/ops.h"

#include "support/gradient_check.h"

namespace ssa {
namespace {

using testing::f64;
using testing::leaf;
using testing::message_of;
using testing::values;
using Values = std::vector<double>;

/// Leaves by name, and the order in which they were told, each with its gradient at that time.
struct Told {
  std::string order;
  std::map<char, Values> gradients;
  std::map<char, Variable> leaves;

  Variable leaf(char name, const Tensor& value) {
    leaves.insert_or_assign(name, Variable(value, true));
    const Variable& variable = leaves.at(name);
    variable.on_grad_complete([this, name] {  // not by value, or the leaf would own itself
      order += name;
      const Tensor gradient = leaves.at(name).grad();
      gradients[name] = gradient.defined() ? values(gradient) : Values{};
    });
    return variable;
  }
};

/// x·factor elementwise-plus p: an op that uses a parameter.
Variable use(const Variable& x, const Variable& p, double factor = 1) {
  return ops::add(ops::scale(x, factor), p);
}

/// An op that passes its gradient on to `receivers`, whatever it lists as inputs.
Variable pass_on(const std::vector<Variable>& inputs, const std::vector<Variable>& receivers) {
  std::vector<GradSlot> slots;
  for (const Variable& receiver : receivers) slots.push_back(receiver.slot());
  return Variable::record(inputs.front().value(), inputs, [slots](const Tensor& grad) {
    for (const GradSlot& slot : slots) slot.accumulate(grad);
  });
}

TEST_CASE("complete: leaves are told in backward's order, with their whole gradient",
          "[autograd]") {
  Told told;
  const Variable a = told.leaf('a', f64({1})), b = told.leaf('b', f64({2})),
                 c = told.leaf('c', f64({3}));
  use(use(use(Variable(f64({0})), a), b, 5), c, 7).backward(f64({10}));
  CHECK(told.order == "cba");
  CHECK(told.gradients['c'] == Values{10});
  CHECK(told.gradients['b'] == Values{70});
  CHECK(told.gradients['a'] == Values{350});
}

TEST_CASE("complete: a leaf that is used twice is told once, after the last use", "[autograd]") {
  Told told;
  const Variable tied = told.leaf('t', f64({1})), other = told.leaf('o', f64({2}));
  SECTION("by two ops far apart") {
    use(use(use(Variable(f64({0})), tied), other, 5), tied, 7).backward(f64({10}));
    CHECK(told.order == "ot");
    CHECK(told.gradients['t'] == Values{360});
  }
  SECTION("by one op") {
    ops::add(use(tied, other, 3), ops::add(tied, tied)).backward(f64({10}));
    CHECK(told.order == "ot");
    CHECK(told.gradients['t'] == Values{50});
  }
}

TEST_CASE("complete: leaves are told in every pass", "[autograd]") {
  Told told;
  const Variable a = told.leaf('a', f64({1})), b = told.leaf('b', f64({2}));
  const auto step = [&] { use(use(Variable(f64({0})), a), b).backward(f64({10})); };
  step();
  step();
  CHECK(told.order == "baba");
  CHECK(told.gradients['a'] == Values{20});
  b.on_grad_complete({});
  step();
  CHECK(told.order == "babaa");
}

TEST_CASE("complete: uses inside checkpointed functions count like others", "[autograd]") {
  Told told;
  const Variable x(f64({1})), p = told.leaf('p', f64({2})), q = told.leaf('q', f64({3}));
  const auto with_p = [&](const Variable& in) { return use(in, p, 3); };
  const auto with_q = [&](const Variable& in) { return use(in, q, 5); };
  SECTION("once inside") {
    recompute(with_q, recompute(with_p, x)).backward(f64({10}));
    CHECK(told.order == "qp");
    CHECK(told.gradients['p'] == Values{50});
  }
  SECTION("in two functions") {
    recompute(with_p, recompute(with_q, recompute(with_p, x))).backward(f64({10}));
    CHECK(told.order == "qp");
    CHECK(told.gradients['p'] == Values{160});
  }
  SECTION("inside and, before that, outside") {
    recompute(with_q, recompute(with_p, use(x, p))).backward(f64({10}));
    CHECK(told.order == "qp");
    CHECK(told.gradients['p'] == Values{200});
  }
  SECTION("inside and, behind that, outside") {
    use(recompute(with_q, recompute(with_p, x)), p).backward(f64({10}));
    CHECK(told.order == "qp");
    CHECK(told.gradients['p'] == Values{60});
  }
  SECTION("in a function within a function") {
    const auto both = [&](const Variable& in) { return with_q(recompute(with_p, in)); };
    recompute(both, use(x, p)).backward(f64({10}));
    CHECK(told.order == "qp");
    CHECK(told.gradients['p'] == Values{200});
  }
}

TEST_CASE("complete: a checkpointed function may hand a leaf through", "[autograd]") {
  Told told;
  const Variable x(f64({1})), p = told.leaf('p', f64({2}));
  SECTION("as its result") {
    const auto p_itself = [&](const Variable&) { return p; };
    use(recompute(p_itself, x), p).backward(f64({10}));
    CHECK(told.gradients['p'] == Values{20});
  }
  SECTION("into another one") {
    const auto twice = [&](const Variable& in) { return ops::scale(in, 2); };
    const auto into = [&](const Variable& in) { return ops::add(in, recompute(twice, p)); };
    use(recompute(into, x), p).backward(f64({10}));
    CHECK(told.gradients['p'] == Values{30});
  }
  CHECK(told.order == "p");
}

TEST_CASE("complete: leaves without a gradient", "[autograd]") {
  Told told;
  const Variable a = told.leaf('a', f64({1})), b = told.leaf('b', f64({2}));
  SECTION("that the result does not depend on are not told") {
    const Variable used = ops::scale(a, 2), unused = ops::add(used, b);
    ops::scale(used, 3).backward(f64({1}));
    CHECK(told.order == "a");
  }
  SECTION("to which no op passes one on are told that there is none") {
    pass_on({a, ops::scale(b, 3)}, {a}).backward(f64({1}));
    CHECK(told.order == "ab");
    CHECK(told.gradients['b'] == Values{});
    CHECK_FALSE(b.grad().defined());
  }
  SECTION("of a function that was never run again") {
    const auto with_b = [&](const Variable& in) { return use(in, b); };
    pass_on({a, recompute(with_b, a)}, {a}).backward(f64({1}));
    CHECK(told.order == "ba");
    CHECK(told.gradients['b'] == Values{});
  }
}

TEST_CASE("complete: a leaf that backward starts from is complete at once", "[autograd]") {
  Told told;
  told.leaf('a', f64({1})).backward(f64({5}));
  CHECK(told.order == "a");
  CHECK(told.gradients['a'] == Values{5});
}

TEST_CASE("complete: a gradient after the last one is an error", "[autograd]") {
  Told told;
  const Variable a = told.leaf('a', f64({1, 2})), b = told.leaf('b', f64({3, 4}));
  const auto backward = [&](const Variable& y) {
    return message_of<ShapeError>([&] { y.backward(f64({1, 1})); });
  };
  const Variable secret = pass_on({b}, {b, a});  // also gives a gradient to `a`, unlisted
  CHECK_THAT(backward(ops::add(secret, a)),
             Catch::Contains("(2)") && Catch::Contains("without listing it"));
  CHECK(told.order == "a");
  SECTION("inside a checkpointed function too") {
    const auto inside = [&](const Variable& in) { return pass_on({in}, {in, a}); };
    CHECK_THAT(backward(use(recompute(inside, b), a)), Catch::Contains("without listing it"));
  }
  // The next pass is another one.
  a.zero_grad();
  ops::scale(a, 3).backward(f64({1, 10}));
  CHECK(values(a.grad()) == Values{3, 30});
  a.slot().accumulate(f64({1, 1}));  // and what is added by hand is none
  CHECK(values(a.grad()) == Values{4, 31});
}

TEST_CASE("complete: what the callback throws ends the pass", "[autograd]") {
  const Variable a = leaf(f64({1})), b = leaf(f64({2}));
  b.on_grad_complete([] { throw ConfigError("lost"); });
  CHECK(message_of<ConfigError>([&] { use(use(Variable(f64({0})), a), b).backward(f64({1})); }) ==
        "lost");
  CHECK_FALSE(a.grad().defined());
  b.on_grad_complete({});
  use(use(Variable(f64({0})), a), b).backward(f64({1}));
  CHECK(values(a.grad()) == Values{1});
  CHECK(values(b.grad()) == Values{2});
}

TEST_CASE("grad buffer: gradients are collected in the parts of a larger tensor", "[autograd]") {
  Tensor flat = f64({-1, -2, -3, -4, -5, -6, -7});
  const Variable x = leaf(f64({1, 2, 3, 4}, {2, 2})), y = leaf(f64({1, 1}));
  x.slot().accumulate(f64({9, 9, 9, 9}, {2, 2}));
  x.set_grad_buffer(flat.slice(0, 1, 4).view({2, 2}));
  y.set_grad_buffer(flat.slice(0, 5, 2));
  CHECK_FALSE(x.grad().defined());

  // The first gradient overwrites, by accumulate() as by target().
  ops::scale(x, 3).backward(f64({1, 10, 100, 1000}, {2, 2}));
  ops::scale(y, 5).backward(f64({1, 10}));
  CHECK(values(flat) == Values{-1, 3, 30, 300, 3000, 5, 50});
  // Later gradients are added in place, although others hold the tensor.
  const Tensor held = x.grad();
  ops::linear(x, {Variable(f64({1, 0, 0, 1}, {2, 2})), Variable()})
      .backward(f64({1, 1, 1, 1}, {2, 2}));
  ops::scale(x, 1).backward(f64({1, 1, 1, 1}, {2, 2}));
  CHECK(values(flat) == Values{-1, 5, 32, 302, 3002, 5, 50});
  CHECK(values(held) == Values{5, 32, 302, 3002});
  CHECK(x.grad().raw() == flat.slice(0, 1, 4).raw());

  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  CHECK(values(x.slot().zeroed_target()) == Values{0, 0, 0, 0});
  CHECK(values(flat) == Values{-1, 0, 0, 0, 0, 5, 50});
}

TEST_CASE("grad buffer: has to fit", "[autograd]") {
  const Variable x = leaf(f64({1, 2, 3, 4}, {2, 2}));
  const auto refused = [&](const Variable& variable, const Tensor& buffer) {
    return message_of<ShapeError>([&] { variable.set_grad_buffer(buffer); });
  };
  const Tensor square = f64({1, 2, 3, 4}, {2, 2});
  CHECK_THAT(refused(x, f64({1, 2, 3, 4})), Catch::Contains("(2, 2)"));
  CHECK_THAT(refused(x, square.transpose(0, 1)), Catch::Contains("contiguous"));
  CHECK_THAT(refused(x, Tensor()), Catch::Contains("contiguous"));
  CHECK_THAT(refused(x, Tensor::empty({2, 2}, DType::f32, Device::reference)),
             Catch::Contains("f64"));
  CHECK_THAT(refused(Variable(square), square), Catch::Contains("leaves"));
  CHECK_THAT(refused(ops::scale(x, 2), square), Catch::Contains("leaves"));
}

}  // namespace
}  // namespace ssa
