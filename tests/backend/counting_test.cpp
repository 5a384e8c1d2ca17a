// The counting backend against the CPU backend: it must hold as much memory during each call.

#include "ssa/backend/counting.h"

#include "ssa/backend/backend.h"
#include "ssa/core/counting_memory.h"

#include "support/tensors.h"

namespace ssa {
namespace {

Tensor zeros(const Shape& shape, DType dtype, Device device) {
  return Tensor::zeros(shape, dtype, device);
}

/// The category's peak since the last reset_peaks().
int64_t peak(Device device, MemoryCategory category) {
  return allocator(device).stats().peak_bytes[static_cast<size_t>(category)];
}

/// The most that forward and backward of attention hold as workspace.
int64_t attention_workspace(Device device, DType dtype, int64_t batch, int64_t windows) {
  const int64_t length = 96, heads = 2, size = 24, part = length / windows;
  AttentionArgs args;
  const Shape shape{batch, length, heads, size};
  args.query = zeros(shape, dtype, device);
  args.key = zeros(shape, dtype, device);
  args.value = zeros(shape, dtype, device);
  std::vector<int32_t> positions;
  for (int32_t i = 0; i < length; ++i) positions.push_back(i);
  args.plan = {Tensor::from(positions, {windows, part}, device),
               Tensor::from(positions, {windows, part}, device)};
  args.out = zeros(shape, dtype, device);
  args.lse = zeros({batch, heads, length}, DType::f32, device);
  allocator(device).reset_peaks();
  backend(device).attention(args);
  AttentionBackwardArgs backward;
  backward.forward = args;
  backward.grad_out = zeros(shape, dtype, device);
  backward.grad_query = zeros(shape, dtype, device);
  backward.grad_key = zeros(shape, dtype, device);
  backward.grad_value = zeros(shape, dtype, device);
  backend(device).attention_backward(backward);
  return peak(device, MemoryCategory::workspace);
}

TEST_CASE("counting: attention holds what the cpu backend's holds", "[counting]") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t batch : {1, 3}) {
      for (const int64_t windows : {1, 4}) {
        CAPTURE(name(dtype), batch, windows);
        const Count count;
        CHECK(attention_workspace(Device::counting, dtype, batch, windows) ==
              attention_workspace(Device::cpu, dtype, batch, windows));
      }
    }
  }
}

/// The most that forward and backward of graph_attention hold as workspace.
int64_t graph_workspace(Device device, DType dtype, int64_t heads) {
  const int32_t sizes[] = {3, 1, 17, 2, 5, 4, 6, 2, 1, 3, 2};
  std::vector<int32_t> nodes{0}, sources, pairs{0};
  for (const int32_t size : sizes) {
    for (int32_t i = 0; i < size; ++i) sources.push_back(i);
    nodes.push_back(nodes.back() + size);
    pairs.push_back(pairs.back() + size * size);
  }
  const Shape shape{nodes.back(), heads, 8}, table{7, heads};
  const auto list = [&](const std::vector<int32_t>& values) {
    return Tensor::from(values, {static_cast<int64_t>(values.size())}, device);
  };
  GraphAttentionBackwardArgs args;
  GraphAttentionArgs& forward = args.forward;
  for (Tensor* data : {&forward.query, &forward.key, &forward.value, &forward.out, &args.grad_out,
                       &args.grad_query, &args.grad_key, &args.grad_value}) {
    *data = zeros(shape, dtype, device);
  }
  forward.nodes = forward.sampled = list(nodes);
  forward.sources = list(sources);
  forward.pairs = list(pairs);
  forward.classes = zeros({pairs.back()}, DType::u8, device);
  for (Tensor* values :
       {&forward.bias_table, &forward.gate_table, &args.grad_bias_table, &args.grad_gate_table}) {
    *values = zeros(table, DType::f32, device);
  }
  forward.lse = zeros({shape[0], heads}, DType::f32, device);
  forward.gate_sum = zeros({shape[0], heads}, DType::f32, device);
  allocator(device).reset_peaks();
  backend(device).graph_attention(forward);
  const int64_t held = peak(device, MemoryCategory::workspace);
  backend(device).graph_attention_backward(args);
  const int64_t held_by_both = peak(device, MemoryCategory::workspace);
  CHECK(held > 0);
  CHECK(held_by_both > held);
  return held_by_both;
}

TEST_CASE("counting: attention inside graphs holds what the cpu backend's holds", "[counting]") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t heads : {3, 32}) {
      CAPTURE(name(dtype), heads);
      const Count count;
      CHECK(graph_workspace(Device::counting, dtype, heads) ==
            graph_workspace(Device::cpu, dtype, heads));
    }
  }
}

TEST_CASE("counting: packed weights take what the cpu backend's take", "[counting]") {
  const auto packed = [](Device device, DType dtype, bool transpose) {
    const std::vector<Tensor> parts = {zeros({37, 19}, DType::f32, device),
                                       zeros({64, 19}, DType::f32, device)};
    const auto in_use = [&] {
      return allocator(device).stats().bytes[static_cast<size_t>(MemoryCategory::parameters)];
    };
    const int64_t before = in_use();
    const auto matrix = backend(device).pack(parts, transpose, dtype, nullptr);
    CHECK(matrix->rows() == (transpose ? 19 : 101));
    return in_use() - before;
  };
  const Count count;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const bool transpose : {false, true}) {
      CHECK(packed(Device::counting, dtype, transpose) == packed(Device::cpu, dtype, transpose));
    }
  }
}

TEST_CASE("counting: products and attention are counted by their sizes", "[counting]") {
  const Count count;
  attention_workspace(Device::counting, DType::f32, 3, 4);
  CHECK(count.tally().attention_flop == 4.0 * 3 * 2 * 24 * 96 * 24);
  CHECK(count.tally().attention_backward_flop == 10.0 * 3 * 2 * 24 * 96 * 24);
  const auto data = [](const Shape& shape) {
    return Tensor::empty(shape, DType::f32, Device::counting);
  };
  Backend& compute = backend(Device::counting);
  compute.matmul({.a = data({5, 3}), .b = data({3, 7}), .out = data({5, 7})});
  compute.batched_matmul(
      {.a = data({2, 4, 5, 3}), .b = data({2, 1, 3, 7}), .out = data({2, 4, 5, 7})});
  CHECK(count.tally().product_flop() == 2.0 * 5 * 3 * 7 * 9);
  {
    const VocabularyPart part;
    compute.matmul({.a = data({5, 3}), .b = data({3, 7}), .out = data({5, 7})});
  }
  CHECK(count.tally().product_flop() == 2.0 * 5 * 3 * 7 * 9);
  CHECK(count.tally().products.size() == 2);

  GraphAttentionArgs graphs;
  graphs.query = data({10, 2, 8});
  graphs.key = graphs.value = data({5, 2, 8});
  graphs.classes = Tensor::empty({6 * 6 + 4 * 4}, DType::u8, Device::counting);
  const double before = count.tally().attention_flop;
  compute.graph_attention(graphs);
  CHECK(count.tally().attention_flop - before == 4.0 * 2 * 8 * (6 * 3 + 4 * 2));
}

TEST_CASE("counting: nothing has elements, and no count knows of another", "[counting]") {
  CHECK_THROWS_AS(Tensor::empty({1}, DType::f32, Device::counting), ShapeError);
  CHECK_THROWS_AS(backend(Device::counting), ConfigError);
  for (int again = 0; again < 2; ++again) {
    const Count count;
    CHECK_THROWS_AS(Count(), ShapeError);
    CHECK(count.memory().peak_total_bytes == 0);
    const Tensor huge = Tensor::zeros({1 << 20, 1 << 20}, DType::f32, Device::counting);
    CHECK(count.memory().peak_total_bytes == int64_t{1} << 42);
    const Tensor few = huge.slice(0, 0, 1).slice(1, 0, 3);
    CHECK(testing::values(Tensor::from(std::vector<float>{1, 2, 3}, {3}, Device::counting)) ==
          std::vector<double>(3, 0.0));
    CHECK(few.on_host().numel() == 3);
  }
}

}  // namespace
}  // namespace ssa
