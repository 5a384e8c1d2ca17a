// What the tape keeps in memory, in bytes of the allocator.

#include "ssa/core/allocator.h"
#include "ssa/ops/ops.h"

#include "support/tensors.h"

namespace ssa {
namespace {

using testing::leaf;
using testing::random_f64;

const Shape kShape{16, 32};
constexpr int64_t kBytes = 16 * 32 * 8;

int64_t activation_bytes() {
  return host_allocator().stats().bytes[static_cast<size_t>(MemoryCategory::activations)];
}
int64_t gradient_bytes() {
  return host_allocator().stats().bytes[static_cast<size_t>(MemoryCategory::gradients)];
}

Variable gelu_chain(Variable x, int length) {
  for (int i = 0; i < length; ++i) x = ops::activation(Activation::gelu, x);
  return x;
}

TEST_CASE("tape memory: only what backward needs is kept", "[autograd]") {
  REQUIRE(static_cast<int64_t>(CachingAllocator::rounded_size(kBytes)) == kBytes);
  const Variable x = leaf(random_f64(kShape, 1));
  const int64_t before = activation_bytes();
  SECTION("sums and scales keep nothing") {
    const Variable y = ops::add(ops::scale(x, 2), ops::scale(ops::scale(x, 3), 4));
    CHECK(activation_bytes() == before + kBytes);  // y itself
  }
  SECTION("an activation keeps its input") {
    const Variable y = gelu_chain(x, 5);  // x exists anyway; four results in between; y itself
    CHECK(activation_bytes() == before + 5 * kBytes);
  }
  SECTION("nothing under NoGrad") {
    const NoGrad guard;
    const Variable y = gelu_chain(x, 5);
    CHECK(activation_bytes() == before + kBytes);
  }
  SECTION("a checkpoint keeps its input") {
    const auto part = [](const Variable& in) { return gelu_chain(in, 5); };
    const Variable y = recompute(part, recompute(part, x));
    CHECK(activation_bytes() == before + 2 * kBytes);  // the result in between, and y itself
  }
}

TEST_CASE("tape memory: backward frees what was saved, although the result lives on",
          "[autograd]") {
  const Variable x = leaf(random_f64(kShape, 1)), gain = leaf(random_f64({32}, 2)),
                 shift = leaf(random_f64({32}, 3)), weight = leaf(random_f64({32, 32}, 4));
  const Tensor seed = random_f64(kShape, 5);
  const int64_t activations = activation_bytes(), gradients = gradient_bytes();
  const auto forward = [&] {
    const Variable normed = ops::layer_norm(x, gain, shift, 1e-5);
    return ops::add(x, ops::linear(gelu_chain(normed, 3), {weight, Variable()}));
  };
  const Variable first = forward();
  CHECK(activation_bytes() > activations + 3 * kBytes);
  first.backward(seed);
  CHECK(activation_bytes() == activations + kBytes);  // the result itself
  const int64_t with_gradients = gradient_bytes();
  CHECK(with_gradients > gradients);
  const Variable second = forward();
  second.backward(seed);
  CHECK(activation_bytes() == activations + 2 * kBytes);
  CHECK(gradient_bytes() == with_gradients);  // parameters have their buffers now
}

TEST_CASE("tape memory: gradients of intermediate results are not kept with them", "[autograd]") {
  const Variable x = leaf(random_f64(kShape, 1));
  const Tensor seed = random_f64(kShape, 5);
  const int64_t before = activation_bytes();
  const Variable a = ops::scale(x, 2), b = ops::scale(a, 3), c = ops::scale(b, 4);
  c.backward(seed);
  CHECK(activation_bytes() == before + 3 * kBytes);  // the three values
}

TEST_CASE("tape memory: what was saved is freed op by op on the way back", "[autograd]") {
  const Variable x = leaf(random_f64(kShape, 1));
  const Tensor seed = random_f64(kShape, 5);
  const Variable y = gelu_chain(x, 20);
  const int64_t before = activation_bytes();
  host_allocator().reset_peaks();
  y.backward(seed);
  const int64_t peak =
      host_allocator().stats().peak_bytes[static_cast<size_t>(MemoryCategory::activations)];
  CHECK(peak <= before + 2 * kBytes);  // the gradients on both sides of one op
}

TEST_CASE("tape memory: a graph dropped without backward frees everything", "[autograd]") {
  const Variable x = leaf(random_f64(kShape, 1));
  const int64_t before = activation_bytes();
  { const Variable y = gelu_chain(x, 50); }
  CHECK(activation_bytes() == before);
}

TEST_CASE("tape memory: a steady step asks the system for nothing", "[autograd]") {
  const Variable x = leaf(random_f64(kShape, 1));
  const Tensor seed = random_f64(kShape, 5);
  const auto step = [&] {
    x.zero_grad();
    gelu_chain(x, 4).backward(seed);
  };
  step();  // the parameter's gradient takes a buffer that it keeps:
  step();  // so the second step needs one more
  const int64_t requests = host_allocator().stats().system_allocations;
  step();
  step();
  CHECK(host_allocator().stats().system_allocations == requests);
}

}  // namespace
}  // namespace ssa
