// The ops of image models and regression, against numbers worked out by hand.

#include <cmath>

#include "ssa/ops/ops.h"

#include "support/tensors.h"

namespace ssa {
namespace {

using testing::f64;
using testing::i32;
using testing::values;
using Values = std::vector<double>;

TEST_CASE("values: soft_cross_entropy mixes labels and smooths them", "[ops]") {
  const Variable logits(f64({0, std::log(2.0), 0, 0, 1, 2, 3, 4}, {2, 4}));
  const Tensor labels = i32({1, 2, 3, 3}).view({2, 2});
  // Row 0: lse = ln 5; p = .1/4 + .9·(0, .75, .25, 0), so Σ p·logits = (.025 + .675)·ln 2.
  // Row 1: lse = 4 + ln(1 + e⁻¹ + e⁻² + e⁻³); Σ p·logits = .025·10 + .9·4.
  const SoftTargets targets{labels, f64({0.75, 0.25, 0.5, 0.5}, {2, 2}), 0.1};
  const Values loss = values(ops::soft_cross_entropy(logits, targets).value());
  CHECK(loss[0] == Approx(std::log(5.0) - 0.7 * std::log(2.0)).epsilon(1e-14));
  const double lse = 4 + std::log(1 + std::exp(-1.0) + std::exp(-2.0) + std::exp(-3.0));
  CHECK(loss[1] == Approx(lse - 3.85).epsilon(1e-14));
}

TEST_CASE("values: absolute_error and its slope, 0 where prediction and target agree", "[ops]") {
  const Variable prediction(f64({1, -2, 5}), true);
  const Variable loss = ops::absolute_error(prediction, f64({3, -2, 1}));
  CHECK(values(loss.value()) == Values{2, 0, 4});
  loss.backward(f64({10, 20, 30}));
  CHECK(values(prediction.grad()) == Values{-10, 0, 30});
}

TEST_CASE("values: mean_positions averages each example's positions", "[ops]") {
  const Variable x(f64({1, 2, 3, 4, 5, 12, 10, 20, 30, 40, 50, 60}, {6, 2}));
  const Variable means = ops::mean_positions(x, 2);
  CHECK(means.shape() == Shape{2, 2});
  CHECK(values(means.value()) == Values{3, 6, 30, 40});
}

TEST_CASE("values: patches are normalised bytes by channel, row, column", "[ops]") {
  // A picture of 2×2 pixels with two channels, one patch.
  const std::vector<uint8_t> pixels = {0, 255, 51, 204, 102, 153, 255, 0};
  PatchArgs args{.in = Tensor::from(pixels, {1, 2, 2, 2}, Device::reference),
                 .side = 2,
                 .mean = {0.2, 0.5},
                 .deviation = {0.2, 0.25},
                 .out = {}};
  const Variable rows = ops::patches(args, DType::f64);
  CHECK(rows.shape() == Shape{1, 8});
  CHECK_FALSE(rows.requires_grad());
  const Values expected = {-1, 0, 1, 4, 2, 1.2, 0.4, -2}, got = values(rows.value());
  for (size_t i = 0; i < 8; ++i) CHECK(got[i] == Approx(expected[i]).epsilon(1e-13).margin(1e-13));
}

TEST_CASE("patch merging is a permutation of rows and a reshape", "[ops]") {
  // Two maps of 4×4 tokens of one channel, numbered in raster order. Channels of a merged token are
  // (even row, even column), (odd, even), (even, odd), (odd, odd): Swin's, column by column.
  std::vector<double> tokens;
  for (int i = 0; i < 32; ++i) tokens.push_back(i);
  const Tensor order = i32({0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15});
  const Variable x(f64(tokens, {32, 1}), true);
  const Variable merged = ops::reshape(ops::gather_rows(x, 2, order), {8, 4});
  CHECK(values(merged.value()) == Values{0,  4,  1,  5,  2,  6,  3,  7,  8,  12, 9,
                                         13, 10, 14, 11, 15, 16, 20, 17, 21, 18, 22,
                                         19, 23, 24, 28, 25, 29, 26, 30, 27, 31});
  merged.backward(merged.value());  // the gradient goes back to where each came from
  CHECK(values(x.grad()) == tokens);
}

TEST_CASE("errors: what image models and regression need says what does not fit", "[ops]") {
  const Variable logits(f64({1, 2, 3, 4}, {2, 2}));
  CHECK_THROWS_WITH(
      ops::soft_cross_entropy(logits, {i32({0, 1, 1}).view({3, 1}), f64({1, 1, 1}, {3, 1}), 0}),
      Catch::Contains("soft_cross_entropy: labels is (3, 1), should be (2, 1)"));
  CHECK_THROWS_WITH(
      ops::soft_cross_entropy(logits, {i32({0, 1}).view({2, 1}), f64({1, 1}, {1, 2}), 0}),
      Catch::Contains("weights is (1, 2), should be (2, 1)"));
  CHECK_THROWS_WITH(ops::absolute_error(logits, f64({1, 2})),
                    Catch::Contains("target is (2), should be (2, 2)"));
  CHECK_THROWS_WITH(ops::mean_positions(logits, 3), Catch::Contains("divide into 3 examples"));
  CHECK_THROWS_WITH(ops::dropout(logits, {0.5, {}, 0}), Catch::Contains("groups of 0 elements"));
}

}  // namespace
}  // namespace ssa
