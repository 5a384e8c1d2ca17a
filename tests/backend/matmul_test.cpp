#include <array>

#include "backend/cases.h"

namespace ssa {
namespace {

using namespace testing;

struct Case {
  int64_t rows, columns, inner;
  bool transpose_a, transpose_b, bias, accumulate;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const int64_t sizes[][3] = {{1, 1, 1},   {3, 5, 7},    {17, 33, 65},
                              {64, 48, 1}, {1, 130, 70}, {129, 64, 200}};
  for (const auto& [rows, columns, inner] : sizes) {
    for (int flags = 0; flags < 16; ++flags) {
      all.push_back({rows, columns, inner, (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0,
                     (flags & 8) != 0});
    }
  }
  return all;
}

TEST_CASE("matmul equals the reference") {
  for (const Case& c : cases()) {
    INFO(c.rows << "×" << c.columns << "×" << c.inner << " transposed " << c.transpose_a << " "
                << c.transpose_b << " bias " << c.bias << " accumulate " << c.accumulate);
    MatmulArgs args;
    args.a = random_tensor(c.transpose_a ? Shape{c.inner, c.rows} : Shape{c.rows, c.inner}, 1);
    args.b =
        random_tensor(c.transpose_b ? Shape{c.columns, c.inner} : Shape{c.inner, c.columns}, 2);
    if (c.bias) args.bias = random_tensor({c.columns}, 3);
    args.transpose_a = c.transpose_a;
    args.transpose_b = c.transpose_b;
    args.accumulate = c.accumulate;

    MatmulArgs exact = args;
    exact.a = for_reference(args.a);
    exact.b = for_reference(args.b);
    exact.bias = for_reference(args.bias);
    Guarded out({c.rows, c.columns});
    if (c.accumulate) out = Guarded(random_tensor({c.rows, c.columns}, 4));
    exact.out = for_reference(out.tensor);
    args.out = out.tensor;
    reference_backend().matmul(exact);
    tested().matmul(args);
    CHECK(worst_error(out.tensor, exact.out, std::sqrt(static_cast<double>(c.inner))) < 1e-6);
    CHECK(out.intact());
  }
}

TEST_CASE("weight_gradient is a product and a sum") {
  for (const auto& [rows, out, in] : {std::array<int64_t, 3>{1, 1, 1}, {7, 5, 3}, {65, 33, 48}}) {
    for (int flags = 0; flags < 4; ++flags) {
      CAPTURE(rows, out, in, flags);
      WeightGradientArgs args;
      args.grad_out = random_tensor({rows, 2 * out}, 1).slice(1, out, out);
      args.in = random_tensor({rows, in}, 2);
      args.accumulate_weight = (flags & 1) != 0;
      args.accumulate_bias = (flags & 2) != 0;
      Guarded weight(random_tensor({out, in}, 3)), bias(random_tensor({out}, 4));
      WeightGradientArgs exact = args;
      exact.grad_out = for_reference(args.grad_out);
      exact.in = for_reference(args.in);
      exact.grad_weight = for_reference(weight.tensor);
      exact.grad_bias = for_reference(bias.tensor);
      args.grad_weight = weight.tensor;
      args.grad_bias = bias.tensor;
      reference_backend().weight_gradient(exact);
      tested().weight_gradient(args);
      const double size = std::sqrt(static_cast<double>(rows));
      CHECK(worst_error(weight.tensor, exact.grad_weight, size) < 1e-6);
      CHECK(worst_error(bias.tensor, exact.grad_bias, size) < 1e-6);
      CHECK(weight.intact());
      CHECK(bias.intact());
    }
  }
}

TEST_CASE("products with an activation are a product and the activation") {
  for (const Activation kind : kActivations) {
    for (const auto& [rows, columns, inner] :
         {std::array<int64_t, 3>{1, 1, 1}, {7, 5, 3}, {33, 48, 65}}) {
      CAPTURE(static_cast<int>(kind), rows, columns, inner);
      MatmulArgs args, exact;
      args.a = random_tensor({rows, inner}, 1);
      args.b = random_tensor({inner, columns}, 2);
      args.bias = random_tensor({columns}, 3);
      Guarded out({rows, columns}), activated({rows, columns});
      args.out = out.tensor;
      exact.a = for_reference(args.a);
      exact.b = for_reference(args.b);
      exact.bias = for_reference(args.bias);
      exact.out = reference_zeros({rows, columns});
      Tensor exact_activated = reference_zeros({rows, columns});
      reference_backend().matmul_activation(exact, kind, exact_activated);
      tested().matmul_activation(args, kind, activated.tensor);
      const double size = std::sqrt(static_cast<double>(inner));
      CHECK(worst_error(out.tensor, exact.out, size) < 1e-6);
      CHECK(worst_error(activated.tensor, exact_activated, size) < 1e-6);

      args.bias = exact.bias = {};
      Guarded gradient({rows, columns}), again(random_tensor({rows, columns}, 4));
      args.out = gradient.tensor;
      Tensor exact_again = for_reference(again.tensor);
      reference_backend().matmul_activation_backward(exact, kind, exact_again, exact_again);
      tested().matmul_activation_backward(args, kind, again.tensor, again.tensor);
      CHECK(worst_error(gradient.tensor, exact.out, size) < 1e-6);
      CHECK(worst_error(again.tensor, exact_again, size) < 1e-6);
      CHECK((out.intact() && activated.intact() && gradient.intact() && again.intact()));
    }
  }
}

TEST_CASE("matmul of nothing writes nothing, and says what does not fit") {
  Guarded out({0, 4});
  MatmulArgs args;
  args.a = random_tensor({0, 3}, 1);
  args.b = random_tensor({3, 4}, 2);
  args.out = out.tensor;
  tested().matmul(args);
  CHECK(out.intact());
  args.a = random_tensor({5, 2}, 1);
  CHECK_THROWS_WITH(tested().matmul(args), Catch::Contains("b has shape (3, 4)"));
}

}  // namespace
}  // namespace ssa
