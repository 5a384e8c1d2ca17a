// The layers: names, initial spread, places of dropout, gradients of all parameters.

#include "ssa/nn/layers.h"

#include <cmath>
#include <numeric>

#include "support/gradient_check.h"
#include "support/plans.h"

namespace ssa {
namespace {

using testing::random_f64;
using testing::values;
using Names = std::vector<std::string>;

ParameterStore f64_store() { return {Device::reference, DType::f64, 1}; }

Names names(const ParameterStore& store) {
  Names result;
  for (const Parameter& parameter : store.all()) {
    result.push_back(parameter.name + " " + to_string(parameter.shape));
  }
  return result;
}

/// Moves parameters away from their initial zeros and ones.
void disturb(const ParameterStore& store) {
  for (size_t i = 0; i < store.all().size(); ++i) {
    Tensor value = store.all()[i].variable.value();
    const Tensor noise = random_f64(value.shape(), static_cast<uint32_t>(500 + i), -0.5, 0.5);
    backend(value.device()).add(value, noise, value);
  }
}

std::vector<testing::NamedLeaf> leaves(const ParameterStore& store, const Variable& x) {
  std::vector<testing::NamedLeaf> result = {{"x", x}};
  for (const Parameter& parameter : store.all()) {
    result.push_back({parameter.name, parameter.variable});
  }
  return result;
}

const nn::Context kTraining{true, {.seed = 3, .step = 7}};

double largest(const Parameter& parameter) {
  double result = 0;
  for (const double x : values(parameter.variable.value())) result = std::max(result, std::abs(x));
  return result;
}

nn::AttentionInput attention_input() {
  return {2, testing::kPlanLength, testing::local_plan(), true,
          nn::alibi_slopes(3, Device::reference)};
}

nn::Residual around_x(const Variable& x, double dropout) {
  return {x, kTraining.dropout(dropout, RngPurpose::dropout, 5)};
}

TEST_CASE("layers: parameter names and shapes", "[nn]") {
  ParameterStore store = f64_store();
  const nn::Linear linear(store, "head", 3, 5);
  const nn::LayerNorm norm(store, "norm", 3);
  const nn::FeedForward ffn(store, "ffn", 3, 7, Activation::gelu, 0);
  const nn::SelfAttention attention(store, "attention", 6, 3, 0);
  CHECK(names(store) == Names{"head.weight (5, 3)", "head.bias (5)", "norm.weight (3)",
                              "norm.bias (3)", "ffn.up.weight (7, 3)", "ffn.up.bias (7)",
                              "ffn.down.weight (3, 7)", "ffn.down.bias (3)",
                              "attention.query.weight (6, 6)", "attention.query.bias (6)",
                              "attention.key.weight (6, 6)", "attention.key.bias (6)",
                              "attention.value.weight (6, 6)", "attention.value.bias (6)",
                              "attention.output.weight (6, 6)", "attention.output.bias (6)"});
}

TEST_CASE("layers: initial values as in fairseq", "[nn]") {
  ParameterStore store(Device::reference, DType::f32, 1);
  const nn::SelfAttention attention(store, "attention", 60, 3, 0);
  const nn::FeedForward ffn(store, "ffn", 60, 80, Activation::gelu, 0);
  const nn::LayerNorm norm(store, "norm", 60);
  const double square = std::sqrt(6.0 / 120), wide = std::sqrt(6.0 / 140);
  for (const Parameter& parameter : store.all()) {
    CAPTURE(parameter.name);
    const std::string& name = parameter.name;
    if (name.ends_with(".bias")) {
      CHECK(largest(parameter) == 0.0);
    } else if (name == "norm.weight") {
      CHECK(values(parameter.variable.value()) == std::vector<double>(60, 1.0));
    } else {
      const double bound = name.starts_with("ffn")            ? wide
                           : name.find("output") != name.npos ? square
                                                              : square / std::sqrt(2.0);
      CHECK(largest(parameter) <= bound * (1 + 1e-6));
      CHECK(largest(parameter) > 0.99 * bound);
    }
  }
}

TEST_CASE("layers: gradients of every parameter", "[nn]") {
  ParameterStore store = f64_store();
  SECTION("linear") {
    const nn::Linear layer(store, "linear", 5, 3);
    disturb(store);
    const Variable x = testing::leaf(random_f64({4, 5}, 1));
    testing::check_gradients("Linear", leaves(store, x), [&] { return layer(x); });
  }
  SECTION("layer norm") {
    const nn::LayerNorm layer(store, "norm", 5);
    disturb(store);
    const Variable x = testing::leaf(random_f64({4, 5}, 1));
    testing::check_gradients("LayerNorm", leaves(store, x), [&] { return layer(x); });
  }
  SECTION("feed-forward, with dropout inside, or inside and around") {
    const nn::LayerNorm norm(store, "norm", 5);
    const nn::FeedForward layer(store, "ffn", 5, 7, Activation::gelu, 0.3);
    const double around = GENERATE(0.0, 0.4);
    disturb(store);
    const Variable x = testing::leaf(random_f64({4, 5}, 1));
    testing::check_gradients("FeedForward", leaves(store, x),
                             [&] { return layer(around_x(x, around), norm, kTraining, 2); });
  }
  SECTION("self-attention, with dropout inside, or inside and around") {
    const nn::LayerNorm norm(store, "norm", 6);
    const auto plan = GENERATE(testing::local_plan(), testing::unbiased_plan());
    const double around = GENERATE(0.0, 0.4);
    nn::AttentionInput input = attention_input();
    input.plan = plan;
    const nn::SelfAttention layer(store, "attention", 6, 3, 0.3);
    disturb(store);
    const Variable x = testing::leaf(random_f64({2 * testing::kPlanLength, 6}, 1));
    testing::check_gradients("SelfAttention", leaves(store, x),
                             [&] { return layer(around_x(x, around), norm, input, kTraining, 2); });
  }
}

TEST_CASE("layers: self-attention with a learned 2-D bias and regions", "[nn]") {
  ParameterStore store = f64_store();
  const nn::LayerNorm norm(store, "norm", 6);
  const nn::SelfAttention layer(store, "attention", 6, 3, 0.3, {.rows = 2, .columns = 3});
  const Parameter& bias = store.all().back();
  CHECK(bias.name == "attention.relative_bias");
  CHECK(bias.variable.shape() == Shape{15, 3});
  CHECK_FALSE(bias.decayed);
  disturb(store);
  nn::AttentionInput input = attention_input();
  input.plan = testing::local_plan();
  input.grid_columns = 3;
  input.regions = testing::i32({0, 0, 0, 0, 1, 1, 1, 1, 1}, {1, 9});
  const Variable x = testing::leaf(random_f64({2 * testing::kPlanLength, 6}, 1));
  testing::check_gradients("SelfAttention", leaves(store, x),
                           [&] { return layer(around_x(x, 0), norm, input, kTraining, 2); });
  CHECK_THROWS_WITH(
      nn::SelfAttention(store, "half", 6, 3, 0, {.rows = 2}),
      "half.relative_bias: a relative bias of 2 rows and 0 columns; give both, or none");
}

TEST_CASE("layers: self-attention with a learned 2-D bias reads on from a cache", "[nn]") {
  ParameterStore store = f64_store();
  const nn::LayerNorm norm(store, "norm", 6);
  const nn::SelfAttention layer(store, "attention", 6, 3, 0, {.rows = 2, .columns = 3});
  disturb(store);
  const Tensor x = random_f64({testing::kPlanLength, 6}, 1);
  nn::AttentionInput whole{1, testing::kPlanLength, testing::dense_plan(testing::kPlanLength), true,
                           nn::alibi_slopes(3, Device::reference)};
  whole.grid_columns = 4;
  const Tensor expected = layer({Variable(x), {}}, norm, whole, {}, 0).value();

  nn::KeyValueCache cache(1, testing::kPlanLength, 3, 2, DType::f64, Device::reference);
  for (int32_t n = 0; n < testing::kPlanLength; ++n) {
    CAPTURE(n);
    std::vector<int32_t> sources(static_cast<size_t>(n) + 1);
    std::iota(sources.begin(), sources.end(), 0);
    const nn::CachedAttention cached{
        &cache, {{{n, {testing::i32({n}, {1, 1}), testing::i32(sources, {1, n + 1})}}}}};
    nn::AttentionInput next = whole;
    next.length = 1;
    next.cached = &cached;
    const Variable row(x.slice(0, n, 1));
    const auto got = values(layer({row, {}}, norm, next, {}, 0).value());
    const auto wanted = values(expected.slice(0, n, 1));
    for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(wanted[i]).margin(1e-13));
    next.regions = testing::i32({0}, {1, 1});
    CHECK_THROWS_WITH(layer({row, {}}, norm, next, {}, 0),
                      Catch::Contains("a cache knows no regions"));
  }
}

TEST_CASE("layers: layer norm uses an epsilon of 1e-5", "[nn]") {
  ParameterStore store = f64_store();
  const nn::LayerNorm layer(store, "norm", 2);
  const double result = values(layer(Variable(testing::f64({1e-3, -1e-3}, {1, 2}))).value())[0];
  CHECK(result == Approx(1e-3 / std::sqrt(1e-6 + 1e-5)).epsilon(1e-12));
}

TEST_CASE("layers: dropout acts in training only, and differs by place, step and micro-batch",
          "[nn]") {
  ParameterStore store = f64_store();
  const nn::FeedForward ffn(store, "ffn", 5, 37, Activation::gelu, 0.5);
  const nn::FeedForward without(store, "ffn2", 5, 37, Activation::gelu, 0.0);
  const nn::SelfAttention attention(store, "attention", 6, 3, 0.5);
  const nn::LayerNorm norm5(store, "norm5", 5), norm6(store, "norm6", 6);
  const Variable x(random_f64({4, 5}, 1)), y(random_f64({2 * testing::kPlanLength, 6}, 2));
  const auto run = [&](const nn::Context& context, int64_t layer) {
    std::vector<double> all = values(ffn({x, {}}, norm5, context, layer).value());
    const auto more = values(attention({y, {}}, norm6, attention_input(), context, layer).value());
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  nn::Context other = kTraining;
  const std::vector<double> base = run(kTraining, 2);
  CHECK(run(kTraining, 2) == base);
  CHECK(run(kTraining, 3) != base);
  other.key.step = 8;
  CHECK(run(other, 2) != base);
  other = kTraining;
  other.key.rank = 1;
  CHECK(run(other, 2) != base);
  other = kTraining;
  other.key.stream = 1;
  CHECK(run(other, 2) != base);

  nn::Context evaluation = kTraining;
  evaluation.training = false;
  const std::vector<double> evaluated = run(evaluation, 2);
  CHECK(evaluated != base);
  CHECK(run({}, 5) == evaluated);
  CHECK(values(without({x, {}}, norm5, kTraining, 2).value()) ==
        values(without({x, {}}, norm5, {}, 0).value()));
}

TEST_CASE("layers: projecting the sampled sources alone changes nothing but the work", "[nn]") {
  ParameterStore store = f64_store();
  const nn::LayerNorm norm(store, "norm", 6);
  const nn::SelfAttention layer(store, "attention", 6, 3, 0);
  disturb(store);
  const Variable x(random_f64({2 * testing::kPlanLength, 6}, 1));
  nn::AttentionInput input = attention_input();
  input.plan = testing::unbiased_plan();
  const std::vector<double> compact = values(layer({x, {}}, norm, input, {}, 0).value());

  const auto parameter = [&](const std::string& name) {
    for (const Parameter& each : store.all()) {
      if (each.name == "attention." + name) return each.variable;
    }
    return Variable();
  };
  const auto project = [&](const std::string& name) {
    const Variable rows =
        ops::linear(norm(x), {parameter(name + ".weight"), parameter(name + ".bias")});
    return ops::reshape(rows, {2, testing::kPlanLength, 3, 2});
  };
  const Variable mixed = ops::attention(project("query"), project("key"), project("value"),
                                        {input.plan, true, input.alibi_slopes, {}});
  const Variable whole = ops::linear(ops::reshape(mixed, x.shape()),
                                     {parameter("output.weight"), parameter("output.bias")}, x);
  const std::vector<double> expected = values(whole.value());
  REQUIRE(compact.size() == expected.size());
  for (size_t i = 0; i < compact.size(); ++i)
    CHECK(compact[i] == Approx(expected[i]).epsilon(1e-12));
}

TEST_CASE("layers: a context names places and purposes apart", "[nn]") {
  const Dropout dropout = kTraining.dropout(0.1, RngPurpose::activation_dropout, 9);
  CHECK(dropout.probability == 0.1);
  CHECK(dropout.key.purpose == RngPurpose::activation_dropout);
  CHECK(dropout.key.layer == 9);
  CHECK(dropout.key.seed == 3);
  CHECK(dropout.key.step == 7);
  CHECK_FALSE(nn::Context{}.dropout(0.1, RngPurpose::dropout, 0).active());
}

}  // namespace
}  // namespace ssa
