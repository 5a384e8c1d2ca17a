// The reference's learned 2-D bias, by its definition and by differences.

#include "backend/attention_cases.h"

namespace ssa {
namespace {

using namespace test;

/// Σ grad_out · out.
double loss(const AttentionInputs& inputs, const Tensor& table) {
  const Shape& shape = inputs.args.query.shape();
  AttentionArgs args = for_reference(inputs.args);
  args.relative_table = table;
  args.out = reference_zeros(shape);
  args.lse = reference_zeros({shape[0], shape[2], shape[1]});
  reference_backend().attention(args);
  const Tensor grad_out = for_reference(inputs.grad_out);
  double sum = 0;
  for (int64_t i = 0; i < args.out.numel(); ++i) {
    sum += args.out.data<double>()[i] * grad_out.data<double>()[i];
  }
  return sum;
}

TEST_CASE("reference attention's gradient of the learned 2-D bias is that of its output") {
  // Three rows of four, the last of two only.
  const AttentionInputs inputs({.batch = 2,
                                .length = 10,
                                .heads = 2,
                                .head_size = 3,
                                .sources = Sources::shuffled,
                                .windows = 2,
                                .sources_per_window = 7,
                                .causal = true,
                                .dropout = 0.2,
                                .grid_columns = 4});
  REQUIRE(inputs.args.relative_table.shape() == Shape{5 * 7, 2});
  const Tensor gradient = run_on_reference(inputs).tensors.at(5);
  const Tensor before = for_reference(inputs.grad_table);
  Tensor table = for_reference(inputs.args.relative_table);
  double largest_gradient = 0;
  for (int64_t i = 0; i < table.numel(); ++i) {
    constexpr double kStep = 1e-5;
    double& element = table.data<double>()[i];
    const double kept = element;
    element = kept + kStep;
    const double above = loss(inputs, table);
    element = kept - kStep;
    const double below = loss(inputs, table);
    element = kept;
    const double numeric = (above - below) / (2 * kStep);
    INFO("element " << i);
    CHECK(gradient.data<double>()[i] - before.data<double>()[i] ==
          Approx(numeric).margin(1e-8).epsilon(1e-6));
    largest_gradient = std::max(largest_gradient, std::abs(numeric));
  }
  CHECK(largest_gradient > 0.01);
}

TEST_CASE("reference attention takes the learned 2-D bias by the way from source to target") {
  // Queries are 0, so that biases are the logits. Cell (1, 0), position 3, of a grid of 2 × 3 sees
  // itself and cell (0, 2), position 2, from which it is a row down and two columns to the left.
  const AttentionInputs inputs(
      {.batch = 1, .length = 6, .heads = 1, .head_size = 2, .grid_columns = 3});
  AttentionArgs args = for_reference(inputs.args);
  args.query = reference_zeros(args.query.shape());
  args.plan.sources = Tensor::from<int32_t>({2, 3}, {1, 2}, Device::reference);
  args.relative_table = reference_zeros({3 * 5, 1});
  args.relative_table.data<double>()[(1 + 1) * 5 + (-2 + 2)] = 3.0;
  args.out = reference_zeros(args.query.shape());
  args.lse = reference_zeros({1, 1, 6});
  reference_backend().attention(args);
  CHECK(args.lse.data<double>()[3] == Approx(std::log(std::exp(3.0) + 1.0)));
  CHECK(args.lse.data<double>()[4] == Approx(std::log(2.0)));
}

TEST_CASE("a learned 2-D bias must be that of the grid") {
  const auto message_with = [](auto change) {
    const AttentionInputs inputs(
        {.batch = 1, .length = 6, .heads = 2, .head_size = 2, .grid_columns = 3});
    AttentionArgs args = for_reference(inputs.args);
    args.out = reference_zeros(args.query.shape());
    args.lse = reference_zeros({1, 2, 6});
    change(args);
    try {
      reference_backend().attention(args);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK(message_with([](AttentionArgs&) {}) == "no error");
  CHECK(message_with([](AttentionArgs& args) { args.grid_columns = 0; }) ==
        "attention: a learned 2-D bias over a grid of 0 columns");
  CHECK(message_with([](AttentionArgs& args) {
          args.relative_table = reference_zeros({14, 2});
        }) ==
        "attention: relative_table has shape (14, 2) instead of ((2R-1)·5, 2), for R rows of 3");
  CHECK(message_with([](AttentionArgs& args) {
          args.relative_table = reference_zeros({15, 1});
        }) ==
        "attention: relative_table has shape (15, 1) instead of ((2R-1)·5, 2), for R rows of 3");
  CHECK(message_with([](AttentionArgs& args) {
          args.relative_table = reference_zeros({5, 2});
        }) == "attention: relative_table is for 1 rows of 3, too few for 6 positions");
}

}  // namespace
}  // namespace ssa
