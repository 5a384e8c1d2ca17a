// Attention that stores its weights: it equals fused attention, and really stores them.

#include "ssa/ops/ops.h"

#include "support/plans.h"

namespace ssa {
namespace {

using namespace testing;
using Values = std::vector<double>;

constexpr int64_t kBatch = 2, kHeads = 3, kSize = 5;

struct Case {
  const char* name;
  PlanTensors plan;
  bool causal, alibi;
  double dropout = 0;
};

std::vector<Case> cases() {
  return {{"dense", dense_plan(kPlanLength), false, false},
          {"dense, causal, ALiBi", dense_plan(kPlanLength), true, true},
          {"dense, causal, ALiBi, dropout", dense_plan(kPlanLength), true, true, 0.3},
          {"local", local_plan(), false, false},
          {"local, causal, ALiBi", local_plan(), true, true},
          {"shuffled windows, causal", shuffled_plan(), true, false},
          {"shuffled windows, ALiBi", shuffled_plan(), false, true},
          {"unbiased, causal", unbiased_plan(), true, false}};
}

Tensor moved(const Tensor& tensor, DType dtype, Device device) {
  Tensor result =
      Tensor::empty(tensor.shape(), is_floating(tensor.dtype()) ? dtype : DType::i32, device);
  backend(Device::reference).copy(tensor, result);
  return result;
}

ops::AttentionOptions options_of(const Case& c, bool materialized, Device device) {
  ops::AttentionOptions options;
  options.plan = {moved(c.plan.targets, DType::i32, device),
                  moved(c.plan.sources, DType::i32, device)};
  options.causal = c.causal;
  if (c.alibi) {
    options.alibi_slopes = Tensor::from(std::vector<float>{0.5f, 0.25f, 0.0625f}, {3}, device);
  }
  options.dropout = {c.dropout, RngKey{.seed = 4, .purpose = RngPurpose::attention_dropout}};
  options.materialized = materialized;
  return options;
}

/// Result, then gradient of query, key and value together, for a random cotangent.
std::array<Values, 2> run(const Case& c, bool materialized, DType dtype, Device device) {
  const Tensor all_values = random_f64({kBatch, kPlanLength, 3 * kHeads, kSize}, 1, -2, 2);
  const Variable all = leaf(moved(all_values, dtype, device));
  const Variable out =
      ops::attention({all, 0, kHeads}, {all, kHeads, kHeads}, {all, 2 * kHeads, kHeads},
                     options_of(c, materialized, device));
  out.backward(moved(random_f64(out.shape(), 2), dtype, device));
  return {values(out.value()), values(all.grad())};
}

/// The largest difference.
double distance(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= most)) most = std::abs(a[i] - b[i]);
  }
  return most;
}

TEST_CASE("materialized attention: equal to fused attention", "[ops]") {
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const auto fused = run(c, false, DType::f64, Device::reference);
    const auto stored = run(c, true, DType::f64, Device::reference);
    const auto on_cpu = run(c, true, DType::f32, Device::cpu);
    for (const size_t what : {0, 1}) {
      CAPTURE(what);
      CHECK(distance(stored[what], fused[what]) < 1e-14);
      CHECK(distance(on_cpu[what], fused[what]) < 3e-6);
    }
  }
}

TEST_CASE("materialized attention: in bf16 as near as the reference in bf16", "[ops]") {
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const auto exact = run(c, true, DType::f64, Device::reference);
    const auto naive = run(c, true, DType::bf16, Device::reference);
    const auto fast = run(c, true, DType::bf16, Device::cpu);
    for (const size_t what : {0, 1}) {
      CAPTURE(what);
      CHECK(distance(fast[what], exact[what]) <= 2 * distance(naive[what], exact[what]));
    }
  }
}

TEST_CASE("materialized attention: targets that see nothing get exactly 0", "[ops]") {
  for (const auto& [device, dtype] :
       {std::pair{Device::reference, DType::f64}, std::pair{Device::cpu, DType::f32}}) {
    const auto [out, grad] = run({"", local_plan(), true, true}, true, dtype, device);
    for (size_t i = 0; i < out.size(); ++i) {
      CAPTURE(i);
      const size_t position = i / (kHeads * kSize) % kPlanLength;
      CHECK((out[i] == 0.0) == (position <= 1));
    }
    for (size_t i = 0; i < grad.size(); ++i) {
      const size_t position = i / (3 * kHeads * kSize) % kPlanLength;
      const size_t head = i / kSize % (3 * kHeads);
      if (head < kHeads && position <= 1) CHECK(grad[i] == 0.0);
      const bool sampled = position != 1 && position != 4 && position != 6;
      if (head >= kHeads && !sampled) CHECK(grad[i] == 0.0);
    }
  }
}

/// The bytes of activations that one recorded call keeps.
int64_t held_bytes(const Case& c, bool materialized) {
  const auto in_use = [] {
    return host_allocator().stats().bytes[static_cast<size_t>(MemoryCategory::activations)];
  };
  const Variable all =
      leaf(moved(random_f64({kBatch, kPlanLength, 3 * kHeads, kSize}, 1), DType::f32, Device::cpu));
  const ops::AttentionOptions options = options_of(c, materialized, Device::cpu);
  const int64_t before = in_use();
  const Variable out =
      ops::attention({all, 0, kHeads}, {all, kHeads, kHeads}, {all, 2 * kHeads, kHeads}, options);
  return in_use() - before;
}

TEST_CASE("materialized attention: keeps a weight for each target and source", "[ops]") {
  const auto bytes = [](int64_t floats) {
    return static_cast<int64_t>(CachingAllocator::rounded_size(static_cast<size_t>(floats * 4)));
  };
  const int64_t out = bytes(kBatch * kPlanLength * kHeads * kSize);
  const int64_t lse = bytes(kBatch * kHeads * kPlanLength);
  const int64_t dense = bytes(kBatch * kHeads * kPlanLength * kPlanLength);
  const int64_t windowed = bytes(kBatch * kHeads * kPlanLength * 3);
  CHECK(held_bytes({"", dense_plan(kPlanLength), true, true}, false) == out + lse);
  CHECK(held_bytes({"", dense_plan(kPlanLength), true, true}, true) == out + dense);
  // It keeps weights before dropout for the softmax's gradient, and after dropout for the values'
  // gradient.
  CHECK(held_bytes({"", dense_plan(kPlanLength), true, true, 0.1}, true) == out + 2 * dense);
  CHECK(held_bytes({"", local_plan(), true, true}, true) == out + windowed);
}

}  // namespace
}  // namespace ssa
