#include "ssa/train/step_transfer.h"

#include <catch2/catch.hpp>

using namespace ssa;

namespace {

struct NoModel : Model {
  Variable losses(const ModelInput&, const nn::Context&) const override { return {}; }
  Tensor predictions(const ModelInput&) const override { return {}; }
};

Batch mixed_batch(uint8_t first) {
  Batch batch(1);
  batch.add<uint8_t>("pixels", {1, 5}, std::vector<uint8_t>{first, 2, 3, 4, 255});
  batch.add<float>("weights", {1, 2}, std::vector<float>{0.25f, -3.0f});
  batch.add<int32_t>("labels", {1}, std::vector<int32_t>{-7});
  return batch;
}

}  // namespace

TEST_CASE("fields of any dtype and plans arrive as they were sent, in the same tensors") {
  const NoModel model;
  StepTransfer transfer(model, Device::cpu);
  CHECK_THROWS_AS(transfer.receive(), ShapeError);
  const SourcePlan plan{2, 1, 2, 1, {0, 1}, {1}};
  transfer.send({{mixed_batch(9), mixed_batch(10)}, {plan, plan}});
  const std::vector<ModelInput>& inputs = transfer.receive();
  REQUIRE(inputs.size() == 2);
  const Tensor pixels = inputs[1].field("pixels");
  CHECK(pixels.dtype() == DType::u8);
  CHECK(pixels.shape() == Shape{1, 5});
  CHECK(pixels.data<uint8_t>()[0] == 10);
  CHECK(pixels.data<uint8_t>()[4] == 255);
  CHECK(inputs[0].field("pixels").data<uint8_t>()[0] == 9);
  CHECK(inputs[1].field("weights").data<float>()[1] == -3.0f);
  CHECK(inputs[0].field("labels").data<int32_t>()[0] == -7);
  REQUIRE(inputs[0].plans.size() == 2);
  CHECK(inputs[0].plans[1].sources.data<int32_t>()[0] == 1);
  CHECK(inputs[0].plans[1].targets.data<int32_t>()[1] == 1);

  transfer.send({{mixed_batch(11), mixed_batch(12)}, {plan, plan}});
  CHECK(transfer.receive()[1].field("pixels").data<uint8_t>() == pixels.data<uint8_t>());
  CHECK(pixels.data<uint8_t>()[0] == 12);
  CHECK_THROWS_AS(transfer.receive(), ShapeError);

  transfer.send({{mixed_batch(1)}, {plan, plan}});  // other shapes
  CHECK(transfer.receive().size() == 1);
  CHECK_THROWS_WITH(transfer.receive(), Catch::Contains("no inputs were sent"));
}
