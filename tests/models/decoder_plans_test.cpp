// The plan of each layer, and the step at which +FT ends sampling.

#include "ssa/models/decoder_plans.h"

#include "support/tensors.h"

namespace ssa {
namespace {

SsaConfig local(int64_t layers, double first, double last) {
  SsaConfig ssa;
  ssa.kind = SsaKind::local;
  ssa.layers = layers;
  ssa.windows = 4;
  ssa.sigma = {first, last};
  return ssa;
}

TEST_CASE("decoder plans: only the last layers sample, with sigma linear over them", "[models]") {
  const auto specs = decoder_plan_specs(local(4, 0.1, 0.4), 6, 64);
  REQUIRE(specs.size() == 6);
  const std::vector<double> sigma = {0, 0, 0.1, 0.2, 0.3, 0.4};
  for (size_t layer = 0; layer < 6; ++layer) {
    CAPTURE(layer);
    CHECK(specs[layer].kind == (layer < 2 ? PlanKind::dense : PlanKind::local_1d));
    CHECK(specs[layer].positions == 64);
    CHECK(specs[layer].causal);
    if (layer < 2) continue;
    CHECK(specs[layer].windows == 4);
    CHECK(specs[layer].sigma == Approx(sigma[layer]).epsilon(1e-14));
  }
}

TEST_CASE("decoder plans: 0 means all layers, and one layer takes the first sigma", "[models]") {
  const auto all = decoder_plan_specs(local(0, 0.1, 0.3), 3, 64);
  const std::vector<double> sigma = {0.1, 0.2, 0.3};
  for (size_t layer = 0; layer < 3; ++layer) {
    CHECK(all[layer].kind == PlanKind::local_1d);
    CHECK(all[layer].sigma == Approx(sigma[layer]));
  }
  const auto one = decoder_plan_specs(local(1, 0.1, 0.3), 3, 64);
  CHECK(one[1].kind == PlanKind::dense);
  CHECK(one[2].sigma == 0.1);
}

TEST_CASE("decoder plans: unbiased and dense", "[models]") {
  SsaConfig ssa;
  ssa.kind = SsaKind::unbiased;
  ssa.layers = 1;
  ssa.drop = 0.75;
  const auto specs = decoder_plan_specs(ssa, 2, 64);
  CHECK(specs[0].kind == PlanKind::dense);
  CHECK(specs[1].kind == PlanKind::unbiased);
  CHECK(specs[1].drop == 0.75);
  ssa.kind = SsaKind::none;
  for (const auto& dense : {decoder_plan_specs(ssa, 3, 64), dense_plan_specs(3, 64)}) {
    REQUIRE(dense.size() == 3);
    for (const PlanSpec& spec : dense) {
      CHECK(spec.kind == PlanKind::dense);
      CHECK(spec.positions == 64);
    }
  }
}

TEST_CASE("decoder plans: what cannot be drawn is refused", "[models]") {
  CHECK_THAT(
      testing::message_of<ConfigError>([] { decoder_plan_specs(local(0, 0.1, 0.1), 2, 66); }),
      Catch::Contains("66") && Catch::Contains("4"));
  CHECK_THROWS_AS(decoder_plan_specs(local(0, -0.1, 0.1), 2, 64), ConfigError);
  CHECK_THAT(
      testing::message_of<ConfigError>([] { decoder_plan_specs(local(3, 0.1, 0.1), 2, 64); }),
      Catch::Contains("ssa.layers") && Catch::Contains("3") && Catch::Contains("2"));
}

TEST_CASE("decoder plans: each layer draws its own, by its number", "[models]") {
  const RngKey key{.seed = 3, .purpose = RngPurpose::plan, .step = 12, .rank = 1, .layer = 77};
  const auto specs = decoder_plan_specs(local(2, 0.2, 0.2), 3, 64);
  const auto plans = draw_plans(specs, key);
  REQUIRE(plans.size() == 3);
  CHECK(plans[0].sampled_fraction() == 1.0);
  CHECK(plans[1].sampled_fraction() == 0.25);
  CHECK(plans[1].sources != plans[2].sources);
  CHECK(plans[2] == draw_plan(specs[2], key.with_layer(2)));
  CHECK(draw_plans(specs, key) == plans);
  RngKey next = key;
  next.step = 13;
  CHECK(draw_plans(specs, next)[1].sources != plans[1].sources);
}

TEST_CASE("decoder plans: tensors hold the plan", "[models]") {
  const auto plans = draw_plans(decoder_plan_specs(local(0, 0.2, 0.2), 2, 8), {.seed = 3});
  const auto tensors = to_tensors(plans, Device::reference);
  REQUIRE(tensors.size() == 2);
  CHECK(tensors[1].targets.shape() == Shape{4, 2});
  CHECK(tensors[1].sources.shape() == Shape{4, 2});
  CHECK(tensors[1].targets.device() == Device::reference);
  for (int64_t i = 0; i < 8; ++i) {
    const auto at = static_cast<size_t>(i);
    CHECK(tensors[1].targets.data<int32_t>()[i] == plans[1].targets[at]);
    CHECK(tensors[1].sources.data<int32_t>()[i] == plans[1].sources[at]);
  }
}

TEST_CASE("decoder plans: +FT starts where the last part of the steps begins", "[models]") {
  Config config;
  config.train.steps = 10000;
  config.ssa = local(0, 0.1, 0.1);
  const auto start = [&](double fraction) {
    config.ssa.finetune_fraction = fraction;
    return finetune_start(config);
  };
  CHECK(start(0.0) == 10000);
  CHECK(start(0.1) == 9000);
  CHECK(start(1.0) == 0);
  config.train.steps = 7;
  CHECK(start(0.1) == 6);
  config.ssa.kind = SsaKind::none;
  CHECK(start(0.1) == 7);
}

}  // namespace
}  // namespace ssa
