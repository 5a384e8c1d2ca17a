// Ops for large vocabularies: loss without all logits, scattered rows, transposed linear maps.

#include <cmath>
#include <limits>

#include "ssa/ops/ops.h"

#include "support/gradient_check.h"

namespace ssa {
namespace {

using testing::f64;
using testing::i32;
using testing::leaf;
using testing::random_f64;
using testing::values;

constexpr int64_t kRows = 70,
                  kWidth = 5;  // chunks of 32, 32 and 6 rows where few bytes are allowed

Tensor targets_of(int64_t rows, int64_t vocabulary) {
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < rows; ++r) {
    targets.push_back(r % 9 == 4 ? -1 : static_cast<int32_t>(r * 5 % vocabulary));
  }
  return i32(targets);
}

TEST_CASE("linear_cross_entropy: gradients, a chunk boundary inside", "[ops]") {
  const int64_t bytes = GENERATE(int64_t{1}, ops::kLogitsBytes);
  const Variable x = leaf(random_f64({kRows, kWidth}, 1, -3, 3));
  const Variable words = leaf(random_f64({7, kWidth}, 2)),
                 classes = leaf(random_f64({2, kWidth}, 3));
  const ops::PackedWeights weights({words, classes});
  testing::check_gradients(
      "linear_cross_entropy", {{"x", x}, {"words", words}, {"classes", classes}}, [&] {
        return ops::linear_cross_entropy(ops::scale(x, 1.5), weights, targets_of(kRows, 9), bytes);
      });
}

TEST_CASE("linear_cross_entropy: gradients where all targets are ignored", "[ops]") {
  const Variable x = leaf(random_f64({3, kWidth}, 1)), words = leaf(random_f64({4, kWidth}, 2));
  const Variable loss =
      ops::linear_cross_entropy(x, ops::PackedWeights({words}), i32({-1, -1, -1}));
  CHECK(values(loss.value()) == std::vector<double>(3, 0.0));
  loss.backward(random_f64({3}, 3));
  CHECK(values(words.grad()) == std::vector<double>(4 * kWidth, 0.0));
  CHECK(values(x.grad()) == std::vector<double>(3 * kWidth, 0.0));
}

TEST_CASE("linear_cross_entropy: a gradient of x that is used elsewhere adds up", "[ops]") {
  const Variable x = leaf(random_f64({4, kWidth}, 1)),
                 words = leaf(random_f64({kWidth, kWidth}, 2));
  testing::check_gradients("shared", {{"x", x}, {"words", words}}, [&] {
    const Variable y = ops::scale(x, 2), w = ops::scale(words, 0.5);
    const Variable looked_up = ops::embedding(w, i32({1, 1, 4, 0}), 1.3, DType::f64);
    return ops::linear_cross_entropy(ops::add(ops::linear(y, {w, {}}), looked_up),
                                     ops::PackedWeights({w}), i32({0, 3, -1, 2}));
  });
}

TEST_CASE("linear_cross_entropy: as with all logits at once", "[ops]") {
  const Variable x = leaf(random_f64({kRows, kWidth}, 1, -3, 3));
  const Variable words = leaf(random_f64({11, kWidth}, 2, -2, 2));
  const Tensor targets = targets_of(kRows, 11), seed = random_f64({kRows}, 5);
  const auto run = [&](const Variable& losses) {
    x.zero_grad();
    words.zero_grad();
    losses.backward(seed);
    return std::vector{values(losses.value()), values(x.grad()), values(words.grad())};
  };
  const auto whole = run(ops::cross_entropy(ops::linear(x, {words, {}}), targets));
  const auto chunks = run(ops::linear_cross_entropy(x, ops::PackedWeights({words}), targets, 1));
  for (size_t i = 0; i < whole.size(); ++i) {
    for (size_t k = 0; k < whole[i].size(); ++k) {
      REQUIRE(chunks[i][k] == Approx(whole[i][k]).epsilon(1e-12).margin(1e-14));
    }
  }
}

TEST_CASE("linear_cross_entropy: holds no more logits than it may", "[ops]") {
  constexpr int64_t kManyRows = 1000, kWords = 3000;
  const Variable x(Tensor::zeros({kManyRows, 8}, DType::f32, Device::cpu), true);
  const Variable words(Tensor::zeros({kWords, 8}, DType::f32, Device::cpu), true);
  const Tensor targets = Tensor::zeros({kManyRows}, DType::i32, Device::cpu);
  CachingAllocator& allocator = host_allocator();
  allocator.trim();
  const int64_t before = allocator.stats().total_bytes;
  allocator.reset_peaks();
  const int64_t allowed = 32 * kWords * 4;
  const Variable losses =
      ops::linear_cross_entropy(x, ops::PackedWeights({words}), targets, allowed);
  losses.backward(Tensor::zeros({kManyRows}, DType::f32, Device::cpu));
  // Weights, their gradient and packed copies take less than 1 MB; all logits would take 12.
  CHECK(allocator.stats().peak_total_bytes - before < allowed + (2 << 20));
  CHECK(losses.value().data<float>()[0] == Approx(std::log(3000.0)).epsilon(1e-6));
}

TEST_CASE("linear_cross_entropy: operands that do not fit", "[ops]") {
  using testing::message_of;
  const Variable x(random_f64({3, kWidth}, 1));
  const ops::PackedWeights words({Variable(random_f64({4, kWidth}, 2))});
  const ops::PackedWeights narrow({Variable(random_f64({4, kWidth - 1}, 2))});
  const auto call = [&](const ops::PackedWeights& weights, const Tensor& targets) {
    return message_of<ShapeError>([&] { ops::linear_cross_entropy(x, weights, targets); });
  };
  CHECK_THAT(call(narrow, i32({0, 1, 2})), Catch::Contains("(4, 4)") && Catch::Contains("(4, 5)"));
  CHECK_THAT(call(words, i32({0, 1})), Catch::Contains("targets") && Catch::Contains("(3)"));
  CHECK_THAT(call(words, i32({0, 1, 4})), Catch::Contains("target 4"));
  CHECK_THAT(call(words, random_f64({3}, 1)), Catch::Contains("i32"));
}

TEST_CASE("transposed_linear: values, gradients, errors", "[ops]") {
  const Variable x = leaf(random_f64({3, 4}, 1)), weight = leaf(random_f64({4, 6}, 2));
  const ops::PackedWeights packed({weight});
  const std::vector<double> a = values(x.value()), w = values(weight.value());
  const std::vector<double> out = values(ops::transposed_linear(x, packed).value());
  REQUIRE(out.size() == 18);
  double expected = 0;  // of row 2, column 5
  for (size_t k = 0; k < 4; ++k) expected += a[8 + k] * w[k * 6 + 5];
  CHECK(out[17] == Approx(expected).epsilon(1e-14));
  testing::check_gradients("transposed_linear", {{"x", x}, {"weight", weight}},
                           [&] { return ops::transposed_linear(x, packed); });
  testing::check_gradients("there and back", {{"x", x}, {"weight", weight}}, [&] {
    return ops::linear(ops::transposed_linear(x, packed), {packed, {}});
  });
  CHECK_THAT(testing::message_of<ShapeError>([&] {
               ops::transposed_linear(Variable(random_f64({3, 6}, 1)), packed);
             }),
             Catch::Contains("transposed_linear") && Catch::Contains("(4, 6)"));
}

TEST_CASE("scatter_rows: values, gradients, errors", "[ops]") {
  const Variable base = leaf(f64({1, 2, 3, 4, 5, 6}, {3, 2}));
  const Variable part = leaf(f64({10, 20, 30, 40, 50, 60}, {3, 2}));
  const Variable other = leaf(f64({100, 200}, {1, 2}));
  const std::vector<ops::RowsAt> parts = {{part, i32({2, 0})}, {other, i32({0})}};
  CHECK(values(ops::scatter_rows(base, parts).value()) ==
        std::vector<double>{131, 242, 3, 4, 15, 26});
  testing::check_gradients("scatter_rows", {{"base", base}, {"part", part}, {"other", other}},
                           [&] { return ops::scatter_rows(base, parts); });
  const Variable unplaced = leaf(f64({7, 7}, {1, 2}));
  const Variable result = ops::scatter_rows(base, {{unplaced, i32({})}});
  CHECK(values(result.value()) == values(base.value()));
  result.backward(random_f64({3, 2}, 1));
  CHECK(values(unplaced.grad()) == std::vector<double>{0, 0});
  const auto call = [&](const Variable& rows, const Tensor& places) {
    return testing::message_of<ShapeError>([&] { ops::scatter_rows(base, {{rows, places}}); });
  };
  CHECK_THAT(call(other, i32({0, 1})), Catch::Contains("2 places for 1 rows"));
  CHECK_THAT(call(Variable(f64({1, 2, 3}, {1, 3})), i32({0})), Catch::Contains("(1, 3)"));
}

TEST_CASE("log_softmax: exponentials sum to one, times the offset's", "[ops]") {
  Tensor logits = random_f64({4, 9}, 1, -30, 30);
  const std::vector<double> before = values(logits);
  const Tensor offset = f64({0, -1, 2, -700});
  ops::log_softmax(logits, offset);
  const std::vector<double> after = values(logits);
  for (size_t r = 0; r < 4; ++r) {
    double total = 0;
    const double shift = offset.data<double>()[r];
    for (size_t k = 0; k < 9; ++k) {
      total += std::exp(after[r * 9 + k] - shift);
      CHECK(after[r * 9 + k] - after[r * 9] == Approx(before[r * 9 + k] - before[r * 9]));
    }
    CHECK(total == Approx(1.0).epsilon(1e-12));
  }
}

}  // namespace
}  // namespace ssa
