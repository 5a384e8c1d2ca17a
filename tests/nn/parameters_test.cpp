// The parameter store: initial values, order, counting, gradients.

#include "ssa/nn/parameters.h"

#include <cmath>

#include "ssa/core/allocator.h"
#include "ssa/ops/ops.h"

#include "support/tensors.h"

namespace ssa {
namespace {

using testing::values;

std::vector<double> drawn(const Init& init, uint64_t seed, const Shape& shape = {100, 200},
                          DType dtype = DType::f32) {
  ParameterStore store(Device::reference, dtype, seed);
  return values(store.add("p", shape, init).value());
}

struct Moments {
  double mean = 0, deviation = 0, kurtosis = 0, low = 0, high = 0;
};
Moments moments(const std::vector<double>& numbers) {
  Moments m;
  const auto count = static_cast<double>(numbers.size());
  double fourth = 0;
  for (const double x : numbers) {
    m.mean += x / count;
    m.low = std::min(m.low, x);
    m.high = std::max(m.high, x);
  }
  for (const double x : numbers) {
    m.deviation += (x - m.mean) * (x - m.mean) / count;
    fourth += std::pow(x - m.mean, 4) / count;
  }
  m.kurtosis = fourth / (m.deviation * m.deviation);
  m.deviation = std::sqrt(m.deviation);
  return m;
}

// 20,000 draws: the bounds below are about six standard errors.

TEST_CASE("init: Xavier uniform fills its range evenly", "[nn]") {
  const double bound = 0.5 * std::sqrt(6.0 / 300);
  const Moments m = moments(drawn(Init::xavier_uniform(200, 100, 0.5), 1));
  CHECK(m.low >= -bound);
  CHECK(m.high <= bound);
  CHECK(m.low < -0.995 * bound);
  CHECK(m.high > 0.995 * bound);
  CHECK(std::abs(m.mean) < 0.025 * bound);
  CHECK(m.deviation == Approx(bound / std::sqrt(3.0)).epsilon(0.02));
  CHECK(m.kurtosis == Approx(1.8).epsilon(0.03));
}

TEST_CASE("init: normal has the deviation it was given", "[nn]") {
  const Moments m = moments(drawn(Init::normal(0.02), 1));
  CHECK(std::abs(m.mean) < 0.02 * 0.043);
  CHECK(m.deviation == Approx(0.02).epsilon(0.03));
  CHECK(m.kurtosis == Approx(3.0).epsilon(0.07));
  CHECK(m.high > 3.3 * 0.02);
}

TEST_CASE("init: zeros and ones", "[nn]") {
  CHECK(drawn(Init::zeros(), 1, {3}) == std::vector<double>{0, 0, 0});
  CHECK(drawn(Init::ones(), 1, {3}) == std::vector<double>{1, 1, 1});
}

TEST_CASE("init: a pure function of the seed and the order of parameters", "[nn]") {
  const Init normal = Init::normal(1.0);
  const std::vector<double> first = drawn(normal, 1);
  CHECK(drawn(normal, 1) == first);
  CHECK(drawn(normal, 2) != first);
  CHECK(drawn(normal, uint64_t{1} << 32) != drawn(normal, 0));  // the upper half counts as well

  ParameterStore store(Device::reference, DType::f32, 1);
  CHECK(values(store.add("a", {100, 200}, normal).value()) == first);
  const std::vector<double> second = values(store.add("b", {100, 200}, normal).value());
  CHECK(second != first);
  ParameterStore other(Device::reference, DType::f32, 1);
  other.add("something else", {3}, Init::ones());
  CHECK(values(other.add("b", {100, 200}, normal).value()) == second);
}

TEST_CASE("init: the same numbers in f64, and rounded in half precision", "[nn]") {
  const Init normal = Init::normal(1.0);
  const std::vector<double> single = drawn(normal, 1);
  CHECK(drawn(normal, 1, {100, 200}, DType::f64) == single);
  const std::vector<double> half = drawn(normal, 1, {100, 200}, DType::bf16);
  for (size_t i = 0; i < single.size(); ++i) {
    REQUIRE(half[i] == Approx(single[i]).epsilon(1.0 / 256));
  }
}

TEST_CASE("init: draws are those of Philox, seed 7, first parameter", "[nn]") {
  // Computed by a Philox written in Python, and statistics.NormalDist's quantiles.
  const std::vector<double> uniform = {0.04855629679514095, -0.06197499035624787,
                                       0.07792558457003906, -0.08345700794598088,
                                       0.05030762049136683};
  const std::vector<double> normal = {0.004917608099573171, -0.006317430167815323,
                                      0.008023326778878813, -0.008628153557044674,
                                      0.00509879801085444};
  const std::vector<double> flat = drawn(Init::uniform(0.25), 7, {5});
  const std::vector<double> bell = drawn(Init::normal(0.02), 7, {5});
  for (size_t i = 0; i < 5; ++i) {
    CHECK(flat[i] == Approx(uniform[i]).epsilon(1e-7));
    CHECK(bell[i] == Approx(normal[i]).epsilon(1e-7));
  }
}

TEST_CASE("parameter store: a matrix that must not decay does not", "[nn]") {
  ParameterStore store(Device::reference, DType::f64, 1);
  store.add("table", {3, 5}, Init::normal(1), Decay::never);
  CHECK_FALSE(store.all()[0].decayed);
}

TEST_CASE("parameter store: order, shapes and which parameters decay", "[nn]") {
  ParameterStore store(Device::reference, DType::f64, 1);
  store.add("matrix", {3, 5}, Init::normal(1));
  store.add("vector", {7}, Init::zeros());
  REQUIRE(store.all().size() == 2);
  CHECK(store.all()[0].name == "matrix");
  CHECK(store.all()[0].shape == Shape{3, 5});
  CHECK(store.all()[0].decayed);
  CHECK(store.all()[0].variable.value().dtype() == DType::f64);
  CHECK(store.all()[0].variable.requires_grad());
  CHECK(store.all()[1].name == "vector");
  CHECK_FALSE(store.all()[1].decayed);
  CHECK(store.count() == 22);
}

TEST_CASE("parameter store: a dry one counts and allocates nothing", "[nn]") {
  const int64_t before = host_allocator().stats().total_bytes;
  ParameterStore store = ParameterStore::dry();
  const Variable huge = store.add("huge", {1000000, 1000000}, Init::normal(1));
  CHECK_FALSE(huge.defined());
  store.add("small", {3}, Init::ones());
  CHECK(store.count() == 1000000000003);
  CHECK(store.all().size() == 2);
  CHECK(host_allocator().stats().total_bytes == before);
  store.zero_grad();  // nothing to do, and no harm
}

TEST_CASE("parameter store: zero_grad forgets every gradient", "[nn]") {
  ParameterStore store(Device::reference, DType::f64, 1);
  const Variable a = store.add("a", {2}, Init::ones()), b = store.add("b", {2}, Init::ones());
  ops::add(a, b).backward(testing::f64({1, 2}));
  CHECK(values(store.all()[1].variable.grad()) == std::vector<double>{1, 2});
  store.zero_grad();
  CHECK_FALSE(a.grad().defined());
  CHECK_FALSE(b.grad().defined());
}

}  // namespace
}  // namespace ssa
