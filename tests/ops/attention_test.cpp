// The values of attention over a source plan, and the results that must be exactly zero.

#include <cmath>
#include <set>

#include "ssa/ops/ops.h"

#include "support/plans.h"

namespace ssa {
namespace {

using namespace testing;
using Values = std::vector<double>;

const Shape kShape{2, kPlanLength, 3, 5};  // (B, N, H, D)

/// One sequence, one head, channels of size one.
Variable narrow(const Values& elements) {
  return Variable(f64(elements, {1, static_cast<int64_t>(elements.size()), 1, 1}));
}

Tensor slopes(const std::vector<float>& values_by_head) {
  return Tensor::from(values_by_head, {static_cast<int64_t>(values_by_head.size())},
                      Device::reference);
}

void check_close(const Variable& variable, const Values& expected) {
  const Values got = values(variable.value());
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == Approx(expected[i]).epsilon(1e-13));
  }
}

TEST_CASE("attention: small cases by hand", "[ops]") {
  const double ln3 = std::log(3.0);
  const Variable query = narrow({1, 1}), key = narrow({0, ln3}), value = narrow({4, 8});
  // Weights 1/4 and 3/4.
  check_close(ops::attention(query, key, value, {dense_plan(2), false, {}, {}}), {7, 7});
  check_close(ops::attention(query, key, value, {dense_plan(2), true, {}, {}}), {4, 7});
  // The bias of ALiBi is -slope·(i-j): for target 1 it takes ln 3 from source 0, for target 0 it
  // adds ln 3 to source 1.
  const auto slope = static_cast<float>(ln3);
  const double e = std::exp(static_cast<double>(slope));
  check_close(ops::attention(query, key, value, {dense_plan(2), false, slopes({slope}), {}}),
              {(4 + 8 * 3 * e) / (1 + 3 * e), (4 / e + 8 * 3) / (1 / e + 3)});
  // A window that holds source 1 only.
  const PlanTensors second{i32({0, 1}, {1, 2}), i32({1}, {1, 1})};
  check_close(ops::attention(query, key, value, {second, false, {}, {}}), {8, 8});
  check_close(ops::attention(query, key, value, {second, true, {}, {}}), {0, 8});
}

TEST_CASE("attention: logits are scaled by one over the root of the head size", "[ops]") {
  const double ln3 = std::log(3.0);
  const Variable query(f64({1, 1, 1, 1, 1, 1, 1, 1}, {1, 2, 1, 4}));
  const Variable key(f64({0, 0, 0, 0, ln3, ln3, 0, 0}, {1, 2, 1, 4}));
  const Variable value(f64({4, 0, 1, 2, 8, 4, 1, 0}, {1, 2, 1, 4}));
  check_close(ops::attention(query, key, value, {dense_plan(2), false, {}, {}}),
              {7, 3, 1, 0.5, 7, 3, 1, 0.5});
}

TEST_CASE("attention: dropout zeroes weights by their place in the full matrix", "[ops]") {
  // Weights are uniform and values are powers of ten, so the result shows which weights were kept.
  const int32_t length = 4;
  const RngKey key{.seed = 21, .purpose = RngPurpose::attention_dropout, .step = 5};
  const Dropout dropout{0.5, key};
  const Shape shape{2, length, 3, 1};
  Tensor powers = Tensor::empty(shape, DType::f64, Device::reference);
  for (int64_t i = 0; i < powers.numel(); ++i) {
    powers.data<double>()[i] = std::pow(10.0, static_cast<double>(i / 3 % length));
  }
  const Variable zero(Tensor::zeros(shape, DType::f64, Device::reference));
  const Values out =
      values(ops::attention(zero, zero, Variable(powers), {dense_plan(length), false, {}, dropout})
                 .value());
  for (uint64_t b = 0; b < 2; ++b) {
    for (uint64_t i = 0; i < 4; ++i) {
      for (uint64_t h = 0; h < 3; ++h) {
        double expected = 0;
        for (uint64_t j = 0; j < 4; ++j) {
          const bool kept = key.word(((b * 3 + h) * 4 + i) * 4 + j) >= 0x80000000u;
          if (kept) expected += 2 * 0.25 * std::pow(10.0, static_cast<double>(j));
        }
        CAPTURE(b, i, h);
        CHECK(out[(b * 4 + i) * 3 + h] == Approx(expected).epsilon(1e-13));
      }
    }
  }
}

/// Gradients of one attention call, for a random cotangent.
struct Gradients {
  Values out, query, key, value;
};
Gradients gradients_of(const ops::AttentionOptions& options) {
  const Variable query = leaf(random_f64(kShape, 1)), key = leaf(random_f64(kShape, 2)),
                 value = leaf(random_f64(kShape, 3));
  const Variable out = ops::attention(query, key, value, options);
  out.backward(random_f64(kShape, 4));
  return {values(out.value()), values(query.grad()), values(key.grad()), values(value.grad())};
}

/// Positions whose channels are all exactly 0 (in both sequences and all heads), given that no
/// position is zero in part.
std::set<int64_t> zero_positions(const Values& elements) {
  std::set<int64_t> zero, nonzero;
  for (size_t i = 0; i < elements.size(); ++i) {
    const auto position = static_cast<int64_t>(i) / 15 % kPlanLength;
    (elements[i] == 0.0 ? zero : nonzero).insert(position);
  }
  for (const int64_t position : nonzero) {
    INFO("position " << position << " is zero in part");
    CHECK(zero.count(position) == 0);
  }
  return zero;
}

using Positions = std::set<int64_t>;

TEST_CASE("attention: positions that no window samples get exactly no gradient", "[ops]") {
  SECTION("local") {
    const Gradients local = gradients_of({local_plan(), false, {}, {}});
    CHECK(zero_positions(local.out).empty());
    CHECK(zero_positions(local.query).empty());
    CHECK(zero_positions(local.key) == Positions{1, 4, 6});
    CHECK(zero_positions(local.value) == Positions{1, 4, 6});
  }
  SECTION("unbiased") {
    const Gradients unbiased = gradients_of({unbiased_plan(), false, {}, {}});
    CHECK(zero_positions(unbiased.key) == Positions{0, 1, 4, 6, 7});
    CHECK(zero_positions(unbiased.value) == Positions{0, 1, 4, 6, 7});
  }
}

TEST_CASE("attention: targets that see nothing get exactly 0 and pass no gradient", "[ops]") {
  SECTION("local") {
    const Gradients local = gradients_of({local_plan(), true, {}, {}});
    CHECK(zero_positions(local.out) == Positions{0, 1});
    // Targets 2 and 6 see one source each, whose weight is 1 whatever the query.
    const Positions queries = zero_positions(local.query);
    CHECK(queries == Positions{0, 1, 2, 6});
    // Source 5 is in window 0 only, where all targets come before it.
    const Positions values_without = zero_positions(local.value);
    CHECK(values_without == Positions{1, 4, 5, 6});
  }
  SECTION("unbiased") {
    const Gradients unbiased = gradients_of({unbiased_plan(), true, {}, {}});
    CHECK(zero_positions(unbiased.out) == Positions{0, 1});
    CHECK(zero_positions(unbiased.query) == Positions{0, 1, 2});
  }
}

TEST_CASE("attention: the order of windows and of sources within one has no meaning", "[ops]") {
  const PlanTensors other{i32({6, 8, 7, 2, 0, 1, 5, 4, 3}, {3, 3}),
                          i32({8, 3, 7, 7, 5, 2, 3, 8, 0}, {3, 3})};
  for (const bool causal : {false, true}) {
    CAPTURE(causal);
    const Gradients a = gradients_of({local_plan(), causal, {}, {}});
    const Gradients b = gradients_of({other, causal, {}, {}});
    for (size_t i = 0; i < a.out.size(); ++i) {
      REQUIRE(a.out[i] == Approx(b.out[i]).margin(1e-13));
      REQUIRE(a.query[i] == Approx(b.query[i]).margin(1e-13));
      REQUIRE(a.key[i] == Approx(b.key[i]).margin(1e-13));
      REQUIRE(a.value[i] == Approx(b.value[i]).margin(1e-13));
    }
  }
}

TEST_CASE("attention: large logits do not overflow", "[ops]") {
  const Variable query = narrow({1000, -1000}), key = narrow({1, -1}), value = narrow({3, 5});
  check_close(ops::attention(query, key, value, {dense_plan(2), false, {}, {}}), {3, 5});
}

TEST_CASE("attention: a learned 2-D bias and regions that do not fit are errors", "[ops]") {
  const Variable x(random_f64({2, 6, 2, 4}, 1));
  const auto message_with = [&](auto change) {
    ops::AttentionOptions options{dense_plan(6), false, {}, {}};
    options.relative = {Variable(random_f64({15, 2}, 2)), 2, 3, 3};
    options.regions = i32({0, 0, 0, 1, 1, 1}, {1, 6});
    change(options);
    try {
      ops::attention(x, x, x, options);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  using Options = ops::AttentionOptions;
  CHECK(message_with([](Options&) {}) == "no error");
  CHECK(message_with([](Options& options) { options.relative.rows = 3; }) ==
        "attention: relative.table is (15, 2), should be (25, 2)");
  CHECK(message_with([](Options& options) { options.relative.channels = 2; }) ==
        "attention: a learned 2-D bias of 2 channels on a grid with 1 in each cell; give as many, "
        "or 1 not to tell them apart");
  CHECK(message_with([](Options& options) { options.relative.grid_columns = 0; }) ==
        "attention: a learned 2-D bias of 2 rows and 3 columns on a grid of 0 columns; all must "
        "be positive");
  CHECK(message_with([](Options& options) {
          options.regions = i32({0, 0, 0}, {1, 3});
        }) == "attention: regions are (1, 3), should be (2 or 1, 6)");
  CHECK(message_with([](Options& options) { options.materialized = true; }) ==
        "attention: the materialized form has no learned 2-D bias; use the fused one");
}

}  // namespace
}  // namespace ssa
