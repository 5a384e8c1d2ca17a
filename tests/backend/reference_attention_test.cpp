// The reference's learned 2-D bias, against its definition and finite differences.

#include <array>
#include <map>

#include "backend/attention_cases.h"
#include "backend/position_grid.h"

namespace ssa {
namespace {

using namespace testing;

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
  // Three rows of four cells, but the last has only two; then rows of two cells of two channels.
  AttentionCase c{.batch = 2,
                  .length = 10,
                  .heads = 2,
                  .head_size = 3,
                  .sources = Sources::shuffled,
                  .windows = 2,
                  .sources_per_window = 7,
                  .causal = true,
                  .dropout = 0.2,
                  .grid_columns = 4};
  c.grid_channels = GENERATE(1, 2);
  c.grid_columns /= c.grid_channels;
  c.relative_channels = GENERATE_COPY(range(int64_t{1}, c.grid_channels + 1));
  const AttentionInputs inputs(c);
  REQUIRE(inputs.args.relative_table.shape() ==
          Shape{5 * (2 * c.grid_columns - 1) * (2 * c.relative_channels - 1), 2});
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
  // Queries are 0, so logits are biases. In a grid of 2 × 3, cell (1, 0), position 3, sees itself
  // and cell (0, 2), position 2, which is one row up and two columns to the right.
  const AttentionInputs inputs(
      {.batch = 1, .length = 6, .heads = 1, .head_size = 2, .grid_columns = 3});
  AttentionArgs args = for_reference(inputs.args);
  args.query = reference_zeros(args.query.shape());
  args.plan.sources = Tensor::from<int32_t>({2, 3}, {1, 2}, Device::reference);
  REQUIRE(args.relative_table.shape() == Shape{3 * 5, 1});
  args.relative_table = reference_zeros({3 * 5, 1});
  args.relative_table.data<double>()[(1 + 1) * 5 + (-2 + 2)] = 3.0;
  args.out = reference_zeros(args.query.shape());
  args.lse = reference_zeros({1, 1, 6});
  reference_backend().attention(args);
  CHECK(args.lse.data<double>()[3] == Approx(std::log(std::exp(3.0) + 1.0)));
  CHECK(args.lse.data<double>()[4] == Approx(std::log(2.0)));
}

TEST_CASE("reference attention takes the learned 2-D bias by rows, columns and channels") {
  // Queries are 0, so logits are biases. A grid of 2 x 3 pixels of three channels.
  AttentionCase c{.batch = 1, .length = 18, .heads = 2, .head_size = 2, .grid_columns = 3};
  c.grid_channels = 3;
  c.relative_channels = GENERATE(1, 3);
  const AttentionInputs inputs(c);
  AttentionArgs args = for_reference(inputs.args);
  args.query = reference_zeros(args.query.shape());
  args.out = reference_zeros(args.query.shape());
  args.lse = reference_zeros({1, 2, 18});
  reference_backend().attention(args);
  const int64_t channels = c.relative_channels;
  REQUIRE(args.relative_table.shape() == Shape{3 * 5 * (2 * channels - 1), 2});
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t i = 0; i < 18; ++i) {
      double total = 0;
      for (int64_t j = 0; j < 18; ++j) {
        const int64_t down = i / 9 - j / 9, right = i % 9 / 3 - j % 9 / 3;
        const int64_t channel = channels == 1 ? 0 : i % 3 - j % 3;
        const int64_t row =
            ((down + 1) * 5 + right + 2) * (2 * channels - 1) + channel + channels - 1;
        total += std::exp(at(args.relative_table, row * 2 + h));
      }
      CHECK(args.lse.data<double>()[h * 18 + i] == Approx(std::log(total)).epsilon(1e-12));
    }
  }
}

TEST_CASE("pairs of pixels and channels have entries of their own, and use all of them") {
  for (const int64_t channels : {int64_t{1}, int64_t{3}}) {
    AttentionCase c{.batch = 1, .length = 4 * 5 * 3, .grid_columns = 5};
    c.grid_channels = 3;
    c.relative_channels = channels;
    const AttentionInputs inputs(c);
    const PositionGrid grid(inputs.args);
    std::map<int64_t, std::array<int64_t, 3>> distances;  // of each entry
    for (int64_t i = 0; i < c.length; ++i) {
      for (int64_t j = 0; j < c.length; ++j) {
        const std::array<int64_t, 3> distance{i / 15 - j / 15, i % 15 / 3 - j % 15 / 3,
                                              channels == 1 ? 0 : i % 3 - j % 3};
        const auto [known, is_new] = distances.try_emplace(grid.entry_of(i, j), distance);
        CHECK((is_new || known->second == distance));
      }
    }
    CHECK(std::ssize(distances) == grid.table_rows());
    CHECK(distances.begin()->first == 0);
    CHECK(distances.rbegin()->first == grid.table_rows() - 1);
  }
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
  CHECK(message_with([](AttentionArgs& args) { args.relative_rows = 0; }) ==
        "attention: a learned 2-D bias of 0 rows and 3 columns; both must be positive");
  CHECK(message_with([](AttentionArgs& args) {
          args.relative_table = reference_zeros({15, 1});
        }) ==
        "attention: relative_table has shape (15, 1) instead of (15, 2), for 2 rows, 3 "
        "columns, 1 channels and 2 heads");
  CHECK(message_with([](AttentionArgs& args) { args.relative_columns = 4; }) ==
        "attention: relative_table has shape (15, 2) instead of (21, 2), for 2 rows, 4 "
        "columns, 1 channels and 2 heads");
  CHECK(message_with([](AttentionArgs& args) { args.relative_channels = 3; }) ==
        "attention: a learned 2-D bias of 3 channels over a grid with 1 in each cell; give as "
        "many, or 1 not to tell them apart");
}

TEST_CASE("reference attention masks pairs outside the table and those of two regions") {
  // A Swin window of 2 × 2 that a cyclic shift wraps around the edges of a grid of 4 × 4: its four
  // cells, the corners, are too far apart to see each other.
  const AttentionInputs inputs({.batch = 1,
                                .length = 16,
                                .heads = 1,
                                .head_size = 2,
                                .grid_columns = 4,
                                .relative_rows = 2,
                                .relative_columns = 2});
  AttentionArgs args = for_reference(inputs.args);
  args.plan.sources = Tensor::from<int32_t>({0, 3, 12, 15}, {1, 4}, Device::reference);
  args.out = reference_zeros(args.query.shape());
  args.lse = reference_zeros({1, 1, 16});
  reference_backend().attention(args);
  for (const int64_t corner : {0, 3, 12, 15}) {
    for (int64_t d = 0; d < 2; ++d) {
      CHECK(at(args.out, corner * 2 + d) == Approx(at(args.value, corner * 2 + d)));
    }
  }
  // Cell (1, 1) sees only corner (0, 0), until the two are in different regions.
  CHECK(std::isfinite(args.lse.data<double>()[5]));
  std::vector<int32_t> regions(16, 1);
  regions[0] = 7;
  args.regions = Tensor::from(regions, {1, 16}, Device::reference);
  reference_backend().attention(args);
  CHECK(args.lse.data<double>()[5] == -INFINITY);
  CHECK(at(args.out, 10) == 0.0);
}

TEST_CASE("regions have a number for every position") {
  AttentionInputs inputs({.batch = 3, .length = 6, .heads = 2, .head_size = 2, .regions = 2});
  AttentionArgs args = for_reference(inputs.args);
  args.out = reference_zeros(args.query.shape());
  args.lse = reference_zeros({3, 2, 6});
  args.regions = Tensor::from(std::vector<int32_t>(12), {2, 6}, Device::reference);
  CHECK_THROWS_WITH(reference_backend().attention(args),
                    "attention: regions have shape (2, 6) instead of a contiguous (3 or 1, 6)");
}

}  // namespace
}  // namespace ssa
