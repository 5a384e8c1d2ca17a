// Attention over kept keys and values, against attention over all positions at once.

#include "ssa/nn/key_value_cache.h"

#include "ssa/ops/ops.h"

#include "support/plans.h"

namespace ssa {
namespace {

using namespace testing;

constexpr int64_t kBatch = 2, kHeads = 3, kSize = 4;

/// Projections of nine positions: query, key and value side by side.
struct Projected {
  Tensor all = random_f64({kBatch, kPlanLength, 3 * kHeads, kSize}, 1);
  Tensor slopes = Tensor::from<float>({0.5f, 0.25f, 0.0f}, {kHeads}, Device::reference);

  Tensor query(int64_t first, int64_t count) const {
    return all.slice(1, first, count).slice(2, 0, kHeads);
  }
  Tensor pairs(int64_t first, int64_t count) const {
    return all.slice(1, first, count).slice(2, kHeads, 2 * kHeads);
  }
  /// The row of sequence b, position n.
  std::vector<double> expected(const PlanTensors& plan, int64_t b, int64_t n,
                               const ops::RelativeBias& relative = {}) const {
    const Variable x(all);
    ops::AttentionOptions options{plan, true, slopes, {}};
    options.relative = relative;
    const Tensor out =
        ops::attention({x, 0, kHeads}, {x, kHeads, kHeads}, {x, 2 * kHeads, kHeads}, options)
            .value();
    return row(out, b, n);
  }
  static std::vector<double> row(const Tensor& out, int64_t b, int64_t n) {
    return values(out.slice(0, b, 1).slice(1, n, 1));
  }
};

void check_close(const std::vector<double>& got, const std::vector<double>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(wanted[i]).margin(1e-14));
}

nn::PlanPart dense_part(int32_t first, int32_t count) {
  std::vector<int32_t> targets, sources;
  for (int32_t i = 0; i < first + count; ++i) {
    sources.push_back(i);
    if (i >= first) targets.push_back(i);
  }
  return {first, {i32(targets, {1, count}), i32(sources, {1, first + count})}};
}

TEST_CASE("key/value cache: positions read in parts attend as if read at once", "[nn]") {
  const Projected x;
  nn::KeyValueCache cache(kBatch, kPlanLength, kHeads, kSize, DType::f64, Device::reference);
  const PlanTensors dense = dense_plan(kPlanLength);
  const std::vector<int64_t> counts = {4, 1, 1, 3};
  int64_t first = 0;
  for (const int64_t count : counts) {
    cache.append(x.pairs(first, count));
    CHECK(cache.length() == first + count);
    const Tensor out = cache.attend(
        x.query(first, count),
        {{dense_part(static_cast<int32_t>(first), static_cast<int32_t>(count))}}, x.slopes);
    for (int64_t b = 0; b < kBatch; ++b) {
      for (int64_t n = 0; n < count; ++n) {
        CAPTURE(first, b, n);
        check_close(Projected::row(out, b, n), x.expected(dense, b, first + n));
      }
    }
    first += count;
  }
}

TEST_CASE("key/value cache: a learned 2-D bias is that of the positions", "[nn]") {
  const Projected x;
  // On a grid of four columns, with pairs that the table does not reach.
  const ops::RelativeBias relative{Variable(random_f64({3 * 5, kHeads}, 2)), 2, 3, 4};
  nn::KeyValueCache cache(kBatch, kPlanLength, kHeads, kSize, DType::f64, Device::reference);
  for (int32_t first = 0; first < kPlanLength; first += 3) {
    cache.append(x.pairs(first, 3));
    const Tensor out =
        cache.attend(x.query(first, 3), {{dense_part(first, 3)}}, x.slopes, relative);
    for (int64_t b = 0; b < kBatch; ++b) {
      for (int64_t n = 0; n < 3; ++n) {
        CAPTURE(first, b, n);
        check_close(Projected::row(out, b, n),
                    x.expected(dense_plan(kPlanLength), b, first + n, relative));
      }
    }
  }
}

TEST_CASE("key/value cache: each sequence has its plan, each window its sources", "[nn]") {
  const Projected x;
  nn::KeyValueCache cache(kBatch, kPlanLength, kHeads, kSize, DType::f64, Device::reference);
  cache.append(x.pairs(0, kPlanLength));
  // Sequence 0: local_plan() of three windows. Causal, so sources behind the last target may be
  // left out; window 0 then has source 2 alone.
  const std::vector<nn::PlanPart> windows = {{0, {i32({0, 1, 2}, {1, 3}), i32({2}, {1, 1})}},
                                             {3, {i32({3, 4, 5}, {1, 3}), i32({0, 3}, {1, 2})}},
                                             {6, {i32({6, 7, 8}, {1, 3}), i32({3, 7, 8}, {1, 3})}}};
  const Tensor out =
      cache.attend(x.query(0, kPlanLength), {windows, {dense_part(0, kPlanLength)}}, x.slopes);
  for (int64_t n = 0; n < kPlanLength; ++n) {
    CAPTURE(n);
    check_close(Projected::row(out, 0, n), x.expected(local_plan(), 0, n));
    check_close(Projected::row(out, 1, n), x.expected(dense_plan(kPlanLength), 1, n));
  }
}

TEST_CASE("key/value cache: a target without sources gets 0", "[nn]") {
  const Projected x;
  nn::KeyValueCache cache(kBatch, 2, kHeads, kSize, DType::f64, Device::reference);
  cache.append(x.pairs(0, 1));
  const Tensor nothing = Tensor::empty({1, 0}, DType::i32, Device::reference);
  const Tensor out = cache.attend(x.query(0, 1), {{{0, {i32({0}, {1, 1}), nothing}}}}, x.slopes);
  CHECK(values(out) == std::vector<double>(kBatch * kHeads * kSize, 0.0));
}

TEST_CASE("key/value cache: what does not fit is refused, and clear() makes room", "[nn]") {
  const Projected x;
  nn::KeyValueCache cache(kBatch, 4, kHeads, kSize, DType::f64, Device::reference);
  cache.append(x.pairs(0, 3));
  CHECK_THROWS_WITH(cache.append(x.pairs(3, 2)), Catch::Contains("2 positions more than the 3"));
  CHECK_THROWS_AS(cache.append(x.query(3, 1)), ShapeError);
  CHECK(cache.length() == 3);
  const nn::PlanPart part = dense_part(0, 3);
  CHECK_THROWS_WITH(cache.attend(x.query(0, 3), {{part}, {part}, {part}}, x.slopes),
                    Catch::Contains("3 plans for 2 sequences"));
  cache.clear();
  cache.append(x.pairs(5, 4));
  const Tensor out = cache.attend(x.query(8, 1), {{dense_part(3, 1)}}, {});
  CHECK(out.shape() == Shape{kBatch, 1, kHeads, kSize});
}

}  // namespace
}  // namespace ssa
