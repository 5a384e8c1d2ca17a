// Attention inside graphs: values by hand, gradients against finite differences in f64, errors.

#include <cmath>
#include <limits>

#include "ssa/ops/ops.h"

#include "support/gradient_check.h"

namespace ssa {
namespace {

using namespace testing;

constexpr int64_t kClasses = 5;

/// Graphs by their sizes and sampled nodes, with classes of pairs in no order.
ops::PackedGraphs packed(const std::vector<int32_t>& sizes,
                         const std::vector<std::vector<int32_t>>& sampled) {
  std::vector<int32_t> nodes{0}, offsets{0}, sources, pairs{0};
  std::vector<uint8_t> classes;
  for (size_t g = 0; g < sizes.size(); ++g) {
    nodes.push_back(nodes.back() + sizes[g]);
    pairs.push_back(pairs.back() + sizes[g] * sizes[g]);
    sources.insert(sources.end(), sampled[g].begin(), sampled[g].end());
    offsets.push_back(static_cast<int32_t>(sources.size()));
  }
  for (int32_t p = 0; p < pairs.back(); ++p) {
    classes.push_back(static_cast<uint8_t>(p * 7 % 11 % kClasses));
  }
  const auto count = static_cast<int64_t>(classes.size());
  return {i32(nodes), i32(offsets), i32(sources), i32(pairs),
          Tensor::from(classes, {count}, Device::reference)};
}

/// A graph of five nodes that samples three, one of a single node, one that samples none, and one
/// whose nodes are all sources.
ops::PackedGraphs four_graphs() { return packed({5, 1, 2, 3}, {{0, 2, 3}, {0}, {}, {0, 1, 2}}); }

struct Leaves {
  Variable query, key, value, bias, gate;
  explicit Leaves(int64_t rows = 11, int64_t sources = 7, double amplitude = 2.0)
      : query(leaf(random_f64({rows, 2, 3}, 1, -amplitude, amplitude))),
        key(leaf(random_f64({sources, 2, 3}, 2, -amplitude, amplitude))),
        value(leaf(random_f64({sources, 2, 3}, 3))),
        bias(leaf(random_f64({kClasses, 2}, 4))),
        gate(leaf(random_f64({kClasses, 2}, 5, -2, 2))) {}
};

const Dropout kDropout{0.3, {.seed = 4, .purpose = RngPurpose::attention_dropout, .step = 2}};

struct GradientCase {
  const char* name;
  bool gates;
  int64_t virtual_nodes;
  double clip;
  Dropout dropout;
};
const std::vector<GradientCase> kGradientCases = {
    {"plain", false, 0, 0, {}},
    {"gates", true, 0, 0, {}},
    {"gates, virtual nodes", true, 2, 0, {}},
    {"clip that is not reached", true, 1, 50, {}},
    {"clip of some logits", true, 1, 0.8, {}},
    {"dropout", false, 0, 0, kDropout},
    {"all of it", true, 1, 0.8, kDropout},
};

TEST_CASE("graph_attention: gradients of all inputs", "[ops]") {
  for (const GradientCase& c : kGradientCases) {
    const Leaves leaves;
    std::vector<NamedLeaf> inputs{{"query", leaves.query},
                                  {"key", leaves.key},
                                  {"value", leaves.value},
                                  {"bias_table", leaves.bias}};
    if (c.gates) inputs.push_back({"gate_table", leaves.gate});
    check_gradients(c.name, inputs, [&] {
      return ops::graph_attention(leaves.query, leaves.key, leaves.value,
                                  {four_graphs(), leaves.bias, c.gates ? leaves.gate : Variable(),
                                   c.virtual_nodes, c.clip, c.dropout});
    });
  }
}

TEST_CASE("graph_attention: a small case by hand", "[ops]") {
  // One graph of two nodes, the first of them virtual. Weights 1/4 and 3/4, gates 1/2 and 4/5.
  const double ln3 = std::log(3.0), ln4 = std::log(4.0);
  ops::PackedGraphs graphs = packed({2}, {{0, 1}});
  graphs.classes = Tensor::from<uint8_t>({0, 1, 0, 1}, {4}, Device::reference);
  const Variable zero(f64({0, 0}, {2, 1, 1})), value(f64({4, 8}, {2, 1, 1}));
  const Variable bias(f64({0, ln3}, {2, 1})), gate(f64({0, ln4}, {2, 1}));
  const auto out = testing::values(
      ops::graph_attention(zero, zero, value, {graphs, bias, gate, 1, 0, {}}).value());
  const double sum = 0.25 * 0.5 * 4 + 0.75 * 0.8 * 8;
  CHECK(out[0] == Approx(sum).epsilon(1e-14));
  CHECK(out[1] == Approx(std::log(1 + 1.3) * sum).epsilon(1e-14));
  const auto plain = testing::values(
      ops::graph_attention(zero, zero, value, {graphs, bias, Variable(), 1, 0, {}}).value());
  CHECK(plain[0] == Approx(7).epsilon(1e-14));
  CHECK(plain[1] == Approx(7).epsilon(1e-14));
}

TEST_CASE("graph_attention: the clip is on the product, before the bias", "[ops]") {
  const ops::PackedGraphs graphs = packed({2}, {{0, 1}});
  const Variable query(f64({100, 100}, {2, 1, 1})), key(f64({100, -100}, {2, 1, 1}));
  const Variable value(f64({1, 0}, {2, 1, 1})), bias(f64({0, 0, 0, 0, 0}, {5, 1}));
  const auto out = testing::values(
      ops::graph_attention(query, key, value, {graphs, bias, Variable(), 0, 5, {}}).value());
  CHECK(out[0] == Approx(1 / (1 + std::exp(-10.0))).epsilon(1e-14));
}

TEST_CASE("graph_attention: what is clipped passes no gradient", "[ops]") {
  // All products are beyond the clip.
  Leaves leaves;
  for (const Variable& variable : {leaves.query, leaves.key}) {
    Tensor value = variable.value();
    for (int64_t i = 0; i < value.numel(); ++i)
      value.data<double>()[i] = 3 + 0.01 * static_cast<double>(i);
  }
  const Variable out = ops::graph_attention(leaves.query, leaves.key, leaves.value,
                                            {four_graphs(), leaves.bias, leaves.gate, 1, 5, {}});
  out.backward(random_f64(out.shape(), 9));
  for (const double grad : testing::values(leaves.query.grad())) CHECK(grad == 0);
  for (const double grad : testing::values(leaves.key.grad())) CHECK(grad == 0);
  double largest = 0;
  for (const double grad : testing::values(leaves.value.grad()))
    largest = std::max(largest, std::abs(grad));
  CHECK(largest > 0.01);
}

TEST_CASE("graph_attention: a shift of all of a head's biases changes nothing", "[ops]") {
  const Leaves leaves;
  const Variable out = ops::graph_attention(leaves.query, leaves.key, leaves.value,
                                            {four_graphs(), leaves.bias, leaves.gate, 1, 0.8, {}});
  out.backward(random_f64(out.shape(), 9));
  const auto grad = testing::values(leaves.bias.grad());
  for (size_t h = 0; h < 2; ++h) {
    double total = 0, size = 0;
    for (size_t c = 0; c < kClasses; ++c) {
      total += grad[c * 2 + h];
      size += std::abs(grad[c * 2 + h]);
    }
    CHECK(std::abs(total) < 1e-14);
    CHECK(size > 0.01);
  }
}

TEST_CASE("graph_attention: a graph without sources gets 0", "[ops]") {
  const Leaves leaves;
  const Variable out = ops::graph_attention(leaves.query, leaves.key, leaves.value,
                                            {four_graphs(), leaves.bias, leaves.gate, 0, 0, {}});
  const auto result = testing::values(out.value());
  for (size_t i = 0; i < result.size(); ++i) {
    const bool empty = i / 6 == 6 || i / 6 == 7;
    CHECK((result[i] == 0) == empty);
  }
  out.backward(random_f64(out.shape(), 9));
  const auto grad = testing::values(leaves.query.grad());
  for (size_t i = 6 * 6; i < 8 * 6; ++i) CHECK(grad[i] == 0);
}

TEST_CASE("graph_attention: what does not fit is named", "[ops]") {
  const Leaves leaves;
  ops::PackedGraphs graphs = four_graphs();
  Variable bias = leaves.bias;
  double clip = 0;
  const auto message = [&] {
    return message_of<ShapeError>([&] {
      ops::graph_attention(leaves.query, leaves.key, leaves.value,
                           {graphs, bias, Variable(), 0, clip, {}});
    });
  };
  using Catch::Contains;
  SECTION("offsets") {
    graphs.nodes = i32({0, 5, 4, 8, 11});
    CHECK_THAT(message(), Contains("offsets of graph 1 end before they begin"));
  }
  SECTION("offsets far beyond their lists") {
    graphs.sampled = i32({0, 1 << 30, 3, 4, 7});  // of 7 sources: none of them is read
    CHECK_THAT(message(), Contains("offsets of graph 1 end before they begin"));
  }
  SECTION("a source outside its graph") {
    graphs.sources = i32({0, 2, 5, 0, 0, 1, 2});
    CHECK_THAT(message(), Contains("source 5 of graph 0, of 5 nodes"));
  }
  SECTION("sources that do not ascend") {
    graphs.sources = i32({0, 3, 2, 0, 0, 1, 2});
    CHECK_THAT(message(), Contains("sources of graph 0 do not ascend"));
  }
  SECTION("classes") {
    bias = leaf(random_f64({4, 2}, 4));
    CHECK_THAT(message(), Contains("class 4 of pair") && Contains("bias_table has 4 rows"));
  }
  SECTION("clip") {
    clip = -1;
    CHECK_THAT(message(), Contains("logit_clip is -1"));
  }
  SECTION("table") {
    bias = leaf(random_f64({5, 3}, 4));
    CHECK_THAT(message(), Contains("bias_table is (5, 3), should be (5, 2)"));
  }
  SECTION("too few offsets") {
    graphs.sampled = i32({0, 7});
    CHECK_THAT(message(), Contains("sampled is (2), should be (5)"));
  }
}

}  // namespace
}  // namespace ssa
