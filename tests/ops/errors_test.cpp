// Operands that do not fit: every message names the op and both sides of the mismatch.

#include "ssa/ops/ops.h"

#include "support/plans.h"

namespace ssa {
namespace {

using namespace testing;

struct ErrorCase {
  std::string name;
  std::function<void()> call;
  std::vector<std::string> fragments;
};

Variable doubles(const Shape& shape) { return Variable(random_f64(shape, 1)); }
Variable floats(const Shape& shape) {
  return Variable(Tensor::zeros(shape, DType::f32, Device::reference));
}
Variable on_cpu(const Shape& shape) {
  return Variable(Tensor::zeros(shape, DType::f64, Device::cpu));
}
Tensor bytes(const Shape& shape) { return Tensor::zeros(shape, DType::u8, Device::reference); }

void check_all(const std::vector<ErrorCase>& cases) {
  for (const ErrorCase& wrong : cases) {
    DYNAMIC_SECTION(wrong.name) {
      const std::string message = message_of<ShapeError>(wrong.call);
      for (const std::string& fragment : wrong.fragments) {
        CHECK_THAT(message, Catch::Contains(fragment));
      }
    }
  }
}

TEST_CASE("errors: elementwise ops", "[ops]") {
  check_all({
      {"add, shapes",
       [] {
         ops::add(doubles({2, 3}), doubles({3, 2}));
       },
       {"add", "(2, 3)", "(3, 2)"}},
      {"add, dtypes", [] { ops::add(doubles({2}), floats({2})); }, {"add", "f64", "f32"}},
      {"add, devices", [] { ops::add(doubles({2}), on_cpu({2})); }, {"add", "reference", "cpu"}},
      {"reshape",
       [] {
         ops::reshape(doubles({2, 3}), {4, 2});
       },
       {"reshape", "(2, 3)", "(4, 2)"}},
      {"dropout",
       [] {
         ops::dropout(doubles({2}), {1.0, {}});
       },
       {"dropout", "1"}},
  });
}

TEST_CASE("errors: linear", "[ops]") {
  const Variable x = doubles({2, 3}), weight = doubles({4, 3}), none;
  check_all({
      {"weight",
       [&] {
         ops::linear(x, {doubles({4, 5}), none});
       },
       {"linear", "(4, 5)", "(4, 3)"}},
      {"bias",
       [&] {
         ops::linear(x, {weight, doubles({3})});
       },
       {"linear", "bias", "(3)", "(4)"}},
      {"axes of x",
       [&] {
         ops::linear(doubles({2, 3, 1}), {weight, none});
       },
       {"linear", "(2, 3, 1)", "2 axes"}},
      {"axes of the weight",
       [&] {
         ops::linear(x, {doubles({3}), none});
       },
       {"linear", "(3)", "2 axes"}},
      {"dtype of the weight",
       [&] {
         ops::linear(x, {floats({4, 3}), none});
       },
       {"linear", "f64", "f32"}},
      {"dtype of the bias",
       [&] {
         ops::linear(x, {weight, floats({4})});
       },
       {"linear", "f64", "f32"}},
      {"device",
       [&] {
         ops::linear(x, {on_cpu({4, 3}), none});
       },
       {"linear", "reference", "cpu"}},
  });
}

TEST_CASE("errors: layer_norm", "[ops]") {
  const Variable x = doubles({2, 3}), three = doubles({3});
  check_all({
      {"gain",
       [&] { ops::layer_norm(x, doubles({4}), three, 0); },
       {"layer_norm", "gain", "(4)", "(3)"}},
      {"shift",
       [&] { ops::layer_norm(x, three, doubles({2}), 0); },
       {"layer_norm", "shift", "(2)", "(3)"}},
      {"axes", [&] { ops::layer_norm(three, three, three, 0); }, {"layer_norm", "(3)", "2 axes"}},
      {"dtype of the gain",
       [&] { ops::layer_norm(x, floats({3}), three, 0); },
       {"layer_norm", "f64", "f32"}},
      {"dtype of the shift",
       [&] { ops::layer_norm(x, three, floats({3}), 0); },
       {"layer_norm", "f64", "f32"}},
  });
}

TEST_CASE("errors: embedding and cross_entropy", "[ops]") {
  const Variable table = doubles({5, 3});
  check_all({
      {"table",
       [] { ops::embedding(doubles({5}), i32({0}), 1, DType::f64); },
       {"embedding", "(5)", "2 axes"}},
      {"ids",
       [&] {
         ops::embedding(table, i32({0, 1}, {1, 2}), 1, DType::f64);
       },
       {"embedding", "(1, 2)", "1 axes"}},
      {"dtype of ids",
       [&] { ops::embedding(table, bytes({2}), 1, DType::f64); },
       {"embedding", "u8", "i32"}},
      {"id beyond the table",
       [&] {
         ops::embedding(table, i32({0, 5}), 1, DType::f64);
       },
       {"embedding", "5"}},
      {"negative id",
       [&] { ops::embedding(table, i32({-1}), 1, DType::f64); },
       {"embedding", "-1"}},
      {"targets",
       [&] {
         ops::cross_entropy(table, i32({0, 1}));
       },
       {"cross_entropy", "(2)", "(5)"}},
      {"logits",
       [] { ops::cross_entropy(doubles({5}), i32({0})); },
       {"cross_entropy", "(5)", "2 axes"}},
      {"dtype of targets",
       [&] { ops::cross_entropy(table, bytes({5})); },
       {"cross_entropy", "u8", "i32"}},
  });
}

TEST_CASE("errors: attention", "[ops]") {
  const Variable x = doubles({2, 9, 3, 5}), other = doubles({2, 9, 5, 3});
  const auto with_plan = [&](const PlanTensors& plan) {
    return [x, plan] { ops::attention(x, x, x, {plan, false, {}, {}}); };
  };
  const auto with_slopes = [&](const Tensor& slopes) {
    return [x, slopes] { ops::attention(x, x, x, {local_plan(), false, slopes, {}}); };
  };
  const ops::AttentionOptions options{local_plan(), false, {}, {}};
  const PlanTensors plan = local_plan();
  check_all({
      {"key",
       [&] { ops::attention(x, other, x, options); },
       {"attention", "key", "(2, 9, 5, 3)", "(2, 9, 3, 5)"}},
      {"value",
       [&] { ops::attention(x, x, other, options); },
       {"attention", "value", "(2, 9, 5, 3)", "(2, 9, 3, 5)"}},
      {"axes",
       [&] {
         ops::attention(doubles({2, 9, 15}), x, x, options);
       },
       {"attention", "query", "(2, 9, 15)", "4 axes"}},
      {"dtype",
       [&] {
         ops::attention(x, x, floats({2, 9, 3, 5}), options);
       },
       {"attention", "f64", "f32"}},
      {"plan for another length", with_plan(dense_plan(8)), {"attention", "(1, 8)", "9 positions"}},
      {"windows without sources",
       with_plan({plan.targets, dense_plan(9).sources}),
       {"attention", "(3, 3)", "(1, 9)"}},
      {"axes of the plan", with_plan({i32({0}), plan.sources}), {"attention", "(1)", "2 axes"}},
      {"dtype of the plan", with_plan({plan.targets, bytes({3, 3})}), {"attention", "u8", "i32"}},
      {"slopes",
       with_slopes(Tensor::zeros({2}, DType::f32, Device::reference)),
       {"attention", "alibi_slopes", "(2)", "(3)"}},
      {"dtype of slopes",
       with_slopes(Tensor::zeros({3}, DType::f64, Device::reference)),
       {"attention", "alibi_slopes", "f64", "f32"}},
  });
}

}  // namespace
}  // namespace ssa
