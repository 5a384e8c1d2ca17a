// Attention inside graphs of a fast backend against the reference.

#include "backend/graph_cases.h"

namespace ssa {
namespace {

using namespace testing;

// clang-format off
const std::vector<GraphCase> kCases = {
    {.sizes = {1}, .heads = 1, .head_size = 1, .classes = 1},
    {.sizes = {10, 1, 24, 17, 55}, .heads = 32, .virtual_nodes = 4, .clip = 5},
    {.sizes = {10, 1, 24, 17, 55}, .heads = 32, .virtual_nodes = 4, .drop = 0.5, .clip = 0.4},
    {.sizes = {5, 3, 2, 9, 7, 1, 4, 8, 6, 2}, .heads = 17, .head_size = 5, .classes = 256, .drop = 0.3},
    {.sizes = {64, 65, 130}, .heads = 3, .head_size = 33, .virtual_nodes = 70, .clip = 1},
    {.sizes = {16, 15, 31}, .heads = 5, .head_size = 64, .gates = false, .clip = 0.2},
    {.sizes = {12, 20, 3}, .heads = 4, .virtual_nodes = 1, .dropout = 0.25},
    {.sizes = {13, 37, 3}, .heads = 20, .drop = 0.4, .gates = false, .dropout = 0.5},
    {.sizes = {33, 6}, .heads = 8, .head_size = 8, .virtual_nodes = 2, .clip = 2, .dropout = 0.1},
    {.sizes = {6, 4}, .drop = 1},
    {.sizes = {6, 0, 4}},
    {.sizes = {}},
};
// clang-format on

TEST_CASE("graph_attention and its gradients equal the reference") {
  for (const GraphCase& c : kCases) {
    const GraphInputs inputs(c);
    Run exact(reference_backend(), DType::f32, true);
    run_graphs(inputs, exact);
    for_each_variant([&] {
      INFO(c);
      Run run(tested(), DType::f32, false);
      run_graphs(inputs, run);
      auto truth = exact.outputs().begin();
      int number = 0;
      for (const Guarded& output : run.outputs()) {
        INFO("output " << number++);
        CHECK(worst_error(output.tensor, truth->tensor, std::max(0.1, largest(truth->tensor))) <
              4e-6);
        CHECK(output.intact());
        ++truth;
      }
    });
  }
}

TEST_CASE("graph_attention in low precision errs at most twice as much as the reference") {
  for (const GraphCase& c : kCases) {
    CAPTURE(c);
    const GraphInputs inputs(c);
    // Sums over all pairs of a class are of the size of 1.
    check_low_precision(1, [&](Run& run) { run_graphs(inputs, run); });
  }
}

TEST_CASE("graph_attention: gates near 0 give degrees near 0, not noise") {
  const GraphCase c{.sizes = {9, 20}, .heads = 3, .classes = 4};
  GraphInputs inputs(c);
  inputs.gate_table = filled_with({c.classes, c.heads}, DType::f32, -14);
  Run exact(reference_backend(), DType::f32, true);
  run_graphs(inputs, exact);
  const Tensor& truth = exact.outputs().front().tensor;
  for_each_variant([&] {
    Run run(tested(), DType::f32, false);
    run_graphs(inputs, run);
    CHECK(worst_error(run.outputs().front().tensor, truth, 0.1 * largest(truth)) < 1e-5);
  });
}

TEST_CASE("graph_attention gives a graph the same bits whatever is beside it") {
  const GraphCase c{.sizes = {24, 9, 40}, .heads = 5, .virtual_nodes = 4, .drop = 0.2, .clip = 1};
  const GraphInputs inputs(c);
  constexpr size_t kRowOutputs = 6;  // the tables' gradients are sums over graphs
  for_each_variant([&] {
    Run together(tested(), DType::f32, false);
    run_graphs(inputs, together);
    for (size_t g = 0; g < c.sizes.size(); ++g) {
      Run alone(tested(), DType::f32, false);
      run_graphs(inputs.only(g), alone);
      auto all = together.outputs().begin(), own = alone.outputs().begin();
      for (size_t number = 0; number < kRowOutputs; ++number, ++all, ++own) {
        CAPTURE(g, number);
        const bool of_sources = number > 3;
        const int32_t first = (of_sources ? inputs.graphs.sampled : inputs.graphs.nodes)[g];
        CHECK(same_bits(host(all->tensor).slice(0, first, own->tensor.dim(0)), own->tensor));
      }
    }
  });
}

TEST_CASE("graph_attention passes NaN on where the reference does, and nowhere else") {
  const GraphCase c{.sizes = {6, 40, 1, 3}, .heads = 5, .virtual_nodes = 1, .drop = 0.2, .clip = 1};
  enum { kQuery, kKey, kValue, kBias, kGate };
  for (const int place : {kQuery, kKey, kValue, kBias, kGate}) {
    CAPTURE(place);
    GraphInputs inputs(c);
    const std::array tensors = {&inputs.query, &inputs.key, &inputs.value, &inputs.bias_table,
                                &inputs.gate_table};
    Tensor& tensor = *tensors[static_cast<size_t>(place)];
    // A number of head 3: of a node of the second graph, or of a class that some pairs have.
    const int64_t row = place < kBias ? 10 : 7;
    const int64_t number_of_row = place < kBias ? 3 * c.head_size + 5 : 3;
    Tensor changed = host(tensor);
    const int64_t element = row * changed.stride(0) + number_of_row;
    if (place < kBias) {
      changed.data<BFloat16>()[element] = BFloat16(std::nanf(""));
    } else {
      changed.data<float>()[element] = std::nanf("");
    }
    tensor = on_device(changed);
    Run exact(reference_backend(), DType::f32, true);
    run_graphs(inputs, exact);
    for_each_variant([&] {
      Run run(tested(), DType::f32, false);
      run_graphs(inputs, run);
      auto truth = exact.outputs().begin();
      int number = 0;
      for (const Guarded& output : run.outputs()) {
        INFO("output " << number++);
        const Tensor result = host(output.tensor), wanted = host(truth->tensor);
        int64_t wrong = 0;
        for (int64_t i = 0; i < result.numel(); ++i) {
          wrong += std::isnan(at(result, i)) != std::isnan(at(wanted, i));
        }
        CHECK(wrong == 0);
        ++truth;
      }
    });
  }
}

}  // namespace
}  // namespace ssa
