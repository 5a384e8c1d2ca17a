// What the table of conformance tests leaves out of the kernels for attention inside graphs: every
// number of lanes that share a row of a head, graphs of several tiles, parts of the tables'
// gradients, offsets, sources and classes that are none, capturing.

#include "backend/graph_cases.h"

namespace ssa {
namespace {

using namespace testing;

// clang-format off
const std::vector<GraphCase> kCases = {
    {.sizes = {10, 1, 24, 17, 55}, .heads = 9, .virtual_nodes = 4, .drop = 0.5, .clip = 0.4},
    {.sizes = {5, 3, 2, 9, 7}, .heads = 17, .head_size = 5, .classes = 256, .drop = 0.3},
    {.sizes = {33, 31, 66, 32}, .heads = 3, .head_size = 20, .virtual_nodes = 40, .clip = 1},
    {.sizes = {16, 9, 31}, .heads = 5, .head_size = 64, .gates = false, .clip = 0.2},
    {.sizes = {35, 20, 3}, .heads = 2, .head_size = 100, .virtual_nodes = 1, .dropout = 0.25},
    {.sizes = {40, 7}, .heads = 2, .head_size = 256, .classes = 256, .drop = 0.1, .dropout = 0.1},
    {.sizes = {0, 6, 0, 0, 4, 0}},
};
// clang-format on

/// Compares each output of a run in f32 with that of the reference.
void check_outputs(Run& run, Run& exact) {
  REQUIRE(run.outputs().size() == exact.outputs().size());
  auto truth = exact.outputs().begin();
  int number = 0;
  for (const Guarded& output : run.outputs()) {
    INFO("output " << number++);
    CHECK(worst_error(output.tensor, truth->tensor, std::max(0.1, largest(truth->tensor))) < 4e-6);
    CHECK(output.intact());
    ++truth;
  }
}

TEST_CASE(
    "cuda graph attention equals the reference for every head size, in any order of threads") {
  for (const GraphCase& c : kCases) {
    CAPTURE(c);
    const GraphInputs inputs(c);
    Run exact(reference_backend(), DType::f32, true);
    run_graphs(inputs, exact);
    std::list<Run> runs;
    for_each_variant([&] {
      run_graphs(inputs, runs.emplace_back(tested(), DType::f32, false));
      check_outputs(runs.back(), exact);
    });
    auto first = runs.front().outputs().begin();
    for (const Guarded& last : runs.back().outputs()) {
      CHECK(same_bits(first->tensor, last.tensor));
      ++first;
    }
  }
}

TEST_CASE("cuda graph attention errs little for every head size in low precision") {
  for (const GraphCase& c : kCases) {
    CAPTURE(c);
    const GraphInputs inputs(c);
    check_low_precision(1, [&](Run& run) { run_graphs(inputs, run); });
  }
}

TEST_CASE("cuda graph attention adds up the tables' gradients by parts of several tiles") {
  // With 48 groups of heads there are at most 21 parts, so that 24 graphs make parts of two tiles.
  GraphCase c{.sizes = {}, .heads = 48, .head_size = 66, .classes = 3, .drop = 0.3};
  for (int32_t g = 0; g < 24; ++g) c.sizes.push_back(g % 3);
  const GraphInputs inputs(c);
  Run exact(reference_backend(), DType::f32, true), run(tested(), DType::f32, false);
  run_graphs(inputs, exact);
  run_graphs(inputs, run);
  check_outputs(run, exact);
}

TEST_CASE("cuda graph attention reports classes, sources and offsets that are none") {
  const auto message_after = [&](auto change) {
    GraphInputs inputs({.sizes = {3, 5}, .classes = 7});
    change(inputs.graphs);
    Run run(tested(), DType::f32, false);
    try {
      run_graphs(inputs, run);
      host(run.outputs().front().tensor);
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK(message_after([](PackedGraphs&) {}) == "no error");
  CHECK(message_after([](PackedGraphs& graphs) { graphs.classes[11] = 7; }) ==
        "graph_attention: classes has 7 at 11, outside 0 … 6");
  CHECK(message_after([](PackedGraphs& graphs) { graphs.sources[1] = 3; }) ==
        "graph_attention: sources has 3 at 1, outside 0 … 2");
  CHECK(message_after([](PackedGraphs& graphs) { graphs.sources[1] = -2; }) ==
        "graph_attention: sources has -2 at 1, outside 0 … 2");
  CHECK(message_after([](PackedGraphs& graphs) { graphs.nodes[1] = 9; }) ==
        "graph_attention: nodes, sampled or pairs has 9 at 1, outside 0 … 8");
  CHECK(message_after([](PackedGraphs& graphs) { graphs.sampled[2] = 7; }) ==
        "graph_attention: nodes, sampled or pairs has 7 at 2, outside 8 … 8");
  CHECK(message_after([](PackedGraphs& graphs) { graphs.pairs[1] = 10; }) ==
        "graph_attention: nodes, sampled or pairs has 10 at 1, outside 0 … 9");
}

/// Arguments whose outputs are plain tensors.
GraphAttentionBackwardArgs make_arguments(const GraphInputs& inputs) {
  const Run run(tested(), DType::f32, false);
  const auto empty = [](const Shape& shape) {
    return Tensor::empty(shape, DType::f32, Device::cuda);
  };
  const auto zeros = [](const Shape& shape) {
    return Tensor::zeros(shape, DType::f32, Device::cuda);
  };
  const Tensor query = run.in(inputs.query), key = run.in(inputs.key);
  const Shape statistics{query.dim(0), query.dim(1)};
  return {.forward = {.query = query,
                      .key = key,
                      .value = run.in(inputs.value),
                      .nodes = list_for(run, inputs.graphs.nodes),
                      .sampled = list_for(run, inputs.graphs.sampled),
                      .sources = list_for(run, inputs.graphs.sources),
                      .pairs = list_for(run, inputs.graphs.pairs),
                      .classes = list_for(run, inputs.graphs.classes),
                      .bias_table = inputs.bias_table,
                      .gate_table = inputs.gate_table,
                      .dropout = {0.3, {.seed = 9}},
                      .out = empty(query.shape()),
                      .lse = empty(statistics),
                      .gate_sum = empty(statistics)},
          .grad_out = run.in(inputs.grad_out),
          .grad_query = empty(query.shape()),
          .grad_key = empty(key.shape()),
          .grad_value = empty(key.shape()),
          .grad_bias_table = zeros(inputs.bias_table.shape()),
          .grad_gate_table = zeros(inputs.bias_table.shape())};
}

TEST_CASE("cuda graph attention refuses wide heads and dropout in groups") {
  GraphAttentionBackwardArgs args =
      make_arguments(GraphInputs({.sizes = {3}, .heads = 1, .head_size = 257, .classes = 2}));
  CHECK_THROWS_WITH(tested().graph_attention(args.forward),
                    "graph_attention: heads of 257, but the cuda backend stops at 256");
  args = make_arguments(GraphInputs({.sizes = {3}}));
  args.forward.dropout.group = 4;
  CHECK_THROWS_WITH(tested().graph_attention_backward(args),
                    Catch::Contains("dropped one by one, not in groups of 4"));
}

TEST_CASE("cuda graph attention can be captured and replayed") {
  GraphAttentionBackwardArgs args = make_arguments(GraphInputs({.sizes = {9, 40}}));
  const auto launch = [&](uint32_t step) {
    args.forward.dropout.key.step = step;
    tested().graph_attention(args.forward);
    tested().graph_attention_backward(args);
  };
  const auto results = [&] {
    return std::vector<Tensor>{host(args.forward.out), host(args.grad_query), host(args.grad_key)};
  };
  launch(8);
  const std::vector<Tensor> launched = results();
  launch(3);
  const auto captured = tested().record(7, [&] { launch(7); });
  REQUIRE(captured);
  captured->replay(8);
  const std::vector<Tensor> replayed = results();
  for (size_t i = 0; i < launched.size(); ++i) CHECK(same_bits(launched[i], replayed[i]));
}

}  // namespace
}  // namespace ssa
