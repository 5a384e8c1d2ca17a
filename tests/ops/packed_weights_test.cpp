#include "ssa/ops/packed_weights.h"

#include <catch2/catch.hpp>

#include "ssa/backend/counting.h"
#include "ssa/core/allocator.h"
#include "ssa/core/error.h"
#include "ssa/ops/ops.h"

namespace ssa {
namespace {

Variable weight_on(Device device) {
  return Variable(Tensor::zeros({8, 16}, DType::f32, device), true);
}

int64_t bytes_of_weights() {
  return host_allocator().stats().bytes[static_cast<size_t>(MemoryCategory::parameters)];
}

void mark_written(const Variable& variable) {
  Tensor value = variable.value();
  value.raw();
}

}  // namespace

TEST_CASE("packed copies are kept until a weight is written", "[ops]") {
  const Variable weight = weight_on(Device::cpu);
  const ops::PackedWeights packed({weight});
  const auto first = packed.transposed(DType::f32);
  CHECK(packed.transposed(DType::f32) == first);
  CHECK(ops::PackedWeights(packed).transposed(DType::f32) == first);
  mark_written(weight);
  CHECK(packed.transposed(DType::f32) == first);  // the same buffer, written again
}

TEST_CASE("packed copies for one use are released after it, and so are earlier ones", "[ops]") {
  const Variable weight = weight_on(Device::cpu);
  const ops::PackedWeights packed({weight});
  const int64_t before = bytes_of_weights();
  packed.transposed(DType::f32);
  packed.plain(DType::f32);
  CHECK(bytes_of_weights() > before);
  {
    const ops::PackForOneUse guard;
    CHECK(packed.transposed(DType::f32) != nullptr);  // the kept one, for the last time
    mark_written(weight);
    CHECK(packed.plain(DType::f32) != nullptr);
    CHECK(bytes_of_weights() == before);
  }
  packed.plain(DType::f32);
  CHECK(bytes_of_weights() > before);
}

TEST_CASE("the output layer packs its matrix once for all chunks of rows", "[ops]") {
  constexpr int64_t kRows = 1000, kWords = 3000, kWidth = 8;
  const Count count;
  const auto zeros = [](const Shape& shape, DType dtype) {
    return Tensor::zeros(shape, dtype, Device::counting);
  };
  const Variable x(zeros({kRows, kWidth}, DType::f32), true);
  const ops::PackedWeights words({Variable(zeros({kWords, kWidth}, DType::f32), true)});
  const ops::PackForOneUse guard;
  const Variable losses =
      ops::linear_cross_entropy(x, words, zeros({kRows}, DType::i32), 32 * kWords * 4);
  losses.backward(zeros({kRows}, DType::f32));
  // Forward; in backward for the logits, and for the gradient of x.
  CHECK(count.tally().elements.at("pack") == 3 * kWords * kWidth);
}

TEST_CASE("int8 weights are used where asked for, and packed again after a write", "[ops]") {
  const Variable weight = weight_on(Device::cpu);
  const ops::PackedWeights packed({weight});
  const auto plain = packed.transposed(DType::f32);
  {
    const ops::UseInt8Weights guard;
    const auto int8 = packed.transposed(DType::f32);
    CHECK(int8 != plain);
    CHECK(packed.transposed(DType::f32) == int8);
    mark_written(weight);
    CHECK(packed.transposed(DType::f32) != int8);
  }
  CHECK(packed.transposed(DType::f32) == plain);
}

TEST_CASE("a backend without int8 products says so", "[ops]") {
  const ops::PackedWeights packed({weight_on(Device::reference)});
  const ops::UseInt8Weights guard;
  CHECK_THROWS_AS(packed.transposed(DType::f32), ConfigError);
}

}  // namespace ssa
