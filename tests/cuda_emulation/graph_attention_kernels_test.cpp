// The kernels for attention inside graphs against the reference: every number of lanes that share a
// row, graphs of several tiles, parts of the tables' gradients, offsets and classes that are none,
// recorded launches.

#include <ostream>

#include "backend/low_precision_cases.h"

namespace ssa {
namespace {

using namespace testing;

struct GraphCase {
  std::vector<int32_t> sizes;  // nodes of each graph
  int64_t heads = 2, head_size = 16, classes = 91, virtual_nodes = 0;
  double drop = 0;  // of sources
  bool gates = true;
  double clip = 0, dropout = 0;
};

std::ostream& operator<<(std::ostream& out, const GraphCase& c) {
  for (const int32_t size : c.sizes) out << size << " ";
  return out << "nodes, H " << c.heads << " D " << c.head_size << " C " << c.classes << " virtual "
             << c.virtual_nodes << " drop " << c.drop << " gates " << c.gates << " clip " << c.clip
             << " dropout " << c.dropout;
}

// clang-format off
const std::vector<GraphCase> kCases = {
    {.sizes = {1}, .heads = 1, .head_size = 1, .classes = 1},
    {.sizes = {10, 1, 24, 17, 55}, .heads = 9, .virtual_nodes = 4, .clip = 5},
    {.sizes = {10, 1, 24, 17, 55}, .heads = 9, .virtual_nodes = 4, .drop = 0.5, .clip = 0.4},
    {.sizes = {5, 3, 2, 9, 7}, .heads = 17, .head_size = 5, .classes = 256, .drop = 0.3},
    {.sizes = {33, 31, 66, 32}, .heads = 3, .head_size = 20, .virtual_nodes = 40, .clip = 1},
    {.sizes = {16, 9, 31}, .heads = 5, .head_size = 64, .gates = false, .clip = 0.2},
    {.sizes = {35, 20, 3}, .heads = 2, .head_size = 100, .virtual_nodes = 1, .dropout = 0.25},
    {.sizes = {40, 7}, .heads = 2, .head_size = 256, .classes = 256, .drop = 0.1, .dropout = 0.1},
    {.sizes = {13, 41, 3}, .heads = 4, .drop = 0.4, .gates = false, .dropout = 0.5},
    {.sizes = {6, 4}, .drop = 1},
    {.sizes = {0, 6, 0, 0, 4, 0}},
};
// clang-format on

/// Offsets, sources and classes of a case, in host memory.
struct Batch {
  std::vector<int32_t> nodes{0}, sampled{0}, sources, pairs{0};
  std::vector<uint8_t> classes;
  explicit Batch(const GraphCase& c) {
    std::mt19937 engine(5);
    for (const int32_t size : c.sizes) add_graph(c, size, engine);
  }
  void add_graph(const GraphCase& c, int32_t size, std::mt19937& engine) {
    for (int32_t p = 0; p < size * size; ++p) {
      classes.push_back(static_cast<uint8_t>(engine() % static_cast<uint32_t>(c.classes)));
    }
    for (int32_t j = 0; j < size; ++j) {
      if (static_cast<double>(engine()) * 0x1p-32 >= c.drop) sources.push_back(j);
    }
    nodes.push_back(nodes.back() + size);
    pairs.push_back(pairs.back() + size * size);
    sampled.push_back(static_cast<int32_t>(sources.size()));
  }
};

template <class T>
Tensor list(const std::vector<T>& values, Device device) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, device);
}

/// The arguments of both passes; outputs are the run's. Rows of query, key and value are parts of
/// wider ones.
GraphAttentionBackwardArgs make_arguments(const GraphCase& c, const Batch& batch, Run& run) {
  const Device device = run.backend.device();
  const int64_t rows = batch.nodes.back(), sources = batch.sampled.back();
  const Shape queries{rows, c.heads, c.head_size}, keys{sources, c.heads, c.head_size};
  const Shape table{c.classes, c.heads}, statistics{rows, c.heads};
  const auto part = [&](int64_t count, uint32_t seed, double amplitude, int64_t first) {
    const Shape whole{count, c.heads + 1, c.head_size};
    return run.in(random_data(whole, seed, amplitude)).slice(1, first, c.heads);
  };
  GraphAttentionBackwardArgs args;
  GraphAttentionArgs& forward = args.forward;
  forward.query = part(rows, 1, 2, 1);
  forward.key = part(sources, 2, 2, 0);
  forward.value = part(sources, 3, 1, 1);
  forward.nodes = list(batch.nodes, device);
  forward.sampled = list(batch.sampled, device);
  forward.sources = list(batch.sources, device);
  forward.pairs = list(batch.pairs, device);
  forward.classes = list(batch.classes, device);
  forward.bias_table = run.in(random_tensor(table, 4));
  if (c.gates) forward.gate_table = run.in(random_tensor(table, 5, 2));
  forward.virtual_nodes = c.virtual_nodes;
  forward.scale = 1 / std::sqrt(static_cast<double>(c.head_size));
  forward.logit_clip = c.clip;
  forward.dropout = {c.dropout, {.seed = 9, .purpose = RngPurpose::attention_dropout, .step = 2}};
  forward.out = run.data(queries);
  forward.lse = run.wide(statistics);
  if (c.gates) forward.gate_sum = run.wide(statistics);
  args.grad_out = run.in(random_data(queries, 6));
  args.grad_query = run.data(queries);
  args.grad_key = run.data(keys);
  args.grad_value = run.data(keys);
  args.grad_bias_table = run.inout(random_tensor(table, 7, 0.1));
  if (c.gates) args.grad_gate_table = run.inout(random_tensor(table, 8, 0.1));
  return args;
}

void run_case(const GraphCase& c, Run& run) {
  GraphAttentionBackwardArgs args = make_arguments(c, Batch(c), run);
  run.backend.graph_attention(args.forward);
  run.backend.graph_attention_backward(args);
}

TEST_CASE("cuda graph attention equals the reference") {
  for (const GraphCase& c : kCases) {
    CAPTURE(c);
    Run exact(reference_backend(), DType::f32, true);
    run_case(c, exact);
    std::vector<Tensor> before;
    for_each_variant([&] {
      Run run(tested(), DType::f32, false);
      run_case(c, run);
      auto truth = exact.outputs().begin();
      size_t number = 0;
      for (const Guarded& output : run.outputs()) {
        INFO("output " << number);
        CHECK(worst_error(output.tensor, truth->tensor, std::max(0.1, largest(truth->tensor))) <
              4e-6);
        CHECK(output.intact());
        if (before.size() == run.outputs().size()) {
          CHECK(same_bits(output.tensor, before[number]));
        } else {
          before.push_back(output.tensor);
        }
        ++truth;
        ++number;
      }
    });
  }
}

TEST_CASE("cuda graph attention in low precision errs at most twice as much as the reference") {
  for (const GraphCase& c : kCases) {
    CAPTURE(c);
    check_low_precision(1, [&](Run& run) { run_case(c, run); });
  }
}

TEST_CASE("cuda graph attention sums up tables by parts of several tiles") {
  // With 48 groups of heads there are at most 21 parts, so that a part of 24 graphs has two tiles.
  GraphCase c{.sizes = {}, .heads = 48, .head_size = 66, .classes = 3, .drop = 0.3};
  for (int32_t g = 0; g < 24; ++g) c.sizes.push_back(g % 3);
  Run exact(reference_backend(), DType::f32, true), run(tested(), DType::f32, false);
  run_case(c, exact);
  run_case(c, run);
  auto truth = exact.outputs().begin();
  for (const Guarded& output : run.outputs()) {
    CHECK(worst_error(output.tensor, truth->tensor, std::max(0.1, largest(truth->tensor))) < 4e-6);
    ++truth;
  }
}

/// The results that belong to the rows of the case's graph number `graph`.
std::vector<Tensor> results_of_graph(const GraphCase& c, size_t graph) {
  const Batch batch(c);
  Run run(tested(), DType::f32, false);
  GraphAttentionBackwardArgs args = make_arguments(c, batch, run);
  // Its data are the same wherever it is.
  const auto fill = [&](Tensor& tensor, const std::vector<int32_t>& offsets, uint32_t seed) {
    const int64_t first = offsets[graph], count = offsets[graph + 1] - first;
    Tensor rows = tensor.slice(0, first, count);
    tested().copy(random_tensor(rows.shape(), seed), rows);
  };
  fill(args.forward.query, batch.nodes, 21);
  fill(args.forward.key, batch.sampled, 22);
  fill(args.forward.value, batch.sampled, 23);
  fill(args.grad_out, batch.nodes, 24);
  tested().graph_attention(args.forward);
  tested().graph_attention_backward(args);
  const auto rows = [&](const Tensor& tensor, const std::vector<int32_t>& offsets) {
    const int64_t first = offsets[graph];
    return host(tensor.slice(0, first, offsets[graph + 1] - first));
  };
  return {rows(args.forward.out, batch.nodes),      rows(args.forward.lse, batch.nodes),
          rows(args.forward.gate_sum, batch.nodes), rows(args.grad_query, batch.nodes),
          rows(args.grad_key, batch.sampled),       rows(args.grad_value, batch.sampled)};
}

TEST_CASE("cuda graph attention gives a graph the same bits whatever is beside it") {
  GraphCase c{.sizes = {41}, .heads = 3, .head_size = 16, .classes = 1, .virtual_nodes = 4};
  const std::vector<Tensor> alone = results_of_graph(c, 0);
  c.sizes = {9, 0, 41, 70};
  const std::vector<Tensor> together = results_of_graph(c, 2);
  for (size_t i = 0; i < alone.size(); ++i) {
    INFO("result " << i);
    CHECK(same_bits(alone[i], together[i]));
  }
}

TEST_CASE("cuda graph attention reports classes, sources and offsets that are none") {
  const GraphCase c{.sizes = {3, 5}, .classes = 7};
  const auto message_after = [&](auto change) {
    Batch batch(c);
    change(batch);
    Run run(tested(), DType::f32, false);
    GraphAttentionBackwardArgs args = make_arguments(c, Batch(c), run);
    args.forward.nodes = list(batch.nodes, Device::cuda);
    args.forward.sampled = list(batch.sampled, Device::cuda);
    args.forward.sources = list(batch.sources, Device::cuda);
    args.forward.pairs = list(batch.pairs, Device::cuda);
    args.forward.classes = list(batch.classes, Device::cuda);
    try {
      tested().graph_attention(args.forward);
      tested().graph_attention_backward(args);
      host(args.forward.out);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK(message_after([](Batch&) {}) == "no error");
  CHECK(message_after([](Batch& batch) { batch.classes[11] = 7; }) ==
        "graph_attention: classes has 7 at 11, outside 0 … 6");
  CHECK(message_after([](Batch& batch) { batch.sources[1] = 3; }) ==
        "graph_attention: sources has 3 at 1, outside 0 … 2");
  CHECK(message_after([](Batch& batch) { batch.sources[1] = -2; }) ==
        "graph_attention: sources has -2 at 1, outside 0 … 2");
  CHECK(message_after([](Batch& batch) { batch.nodes[1] = 9; }) ==
        "graph_attention: nodes, sampled or pairs has 9 at 1, outside 0 … 8");
  CHECK(message_after([](Batch& batch) { batch.sampled[2] = 7; }) ==
        "graph_attention: nodes, sampled or pairs has 7 at 2, outside 8 … 8");
  CHECK(message_after([](Batch& batch) { batch.pairs[1] = 10; }) ==
        "graph_attention: nodes, sampled or pairs has 10 at 1, outside 0 … 9");
}

TEST_CASE("cuda graph attention refuses heads that are too wide and dropout in groups") {
  const GraphCase c{.sizes = {3}, .heads = 1, .head_size = 257, .classes = 2};
  Run run(tested(), DType::f32, false);
  GraphAttentionBackwardArgs args = make_arguments(c, Batch(c), run);
  CHECK_THROWS_WITH(tested().graph_attention(args.forward),
                    "graph_attention: heads of 257, but the cuda backend stops at 256");
  const GraphCase narrow{.sizes = {3}};
  GraphAttentionBackwardArgs grouped = make_arguments(narrow, Batch(narrow), run);
  grouped.forward.dropout = {0.5, {}, 4};
  CHECK_THROWS_WITH(tested().graph_attention_backward(grouped),
                    Catch::Contains("dropped one by one, not in groups of 4"));
}

TEST_CASE("cuda graph attention can be captured and replayed") {
  const GraphCase c{.sizes = {9, 40}, .virtual_nodes = 2, .clip = 5, .dropout = 0.3};
  Run run(tested(), DType::f32, false);
  GraphAttentionBackwardArgs args = make_arguments(c, Batch(c), run);
  const auto work = [&](uint32_t step) {
    args.forward.dropout.key.step = step;
    tested().graph_attention(args.forward);
    tested().graph_attention_backward(args);
  };
  const auto results = [&] {
    return std::vector<Tensor>{host(args.forward.out), host(args.grad_query), host(args.grad_key)};
  };
  work(8);
  const std::vector<Tensor> launched = results();
  work(3);
  const auto recorded = tested().record(7, [&] { work(7); });
  REQUIRE(recorded);
  recorded->replay(8);
  const std::vector<Tensor> replayed = results();
  for (size_t i = 0; i < launched.size(); ++i) CHECK(same_bits(launched[i], replayed[i]));
}

}  // namespace
}  // namespace ssa
