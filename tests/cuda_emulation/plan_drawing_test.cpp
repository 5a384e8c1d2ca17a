// Plans drawn on the device have the bits of those drawn on the host.

#include "backend/cuda/plan_drawing.h"

#include "backend/cases.h"

namespace ssa {
namespace {

using namespace test;

void check_equal_plans(const PlanSpec& spec, const RngKey& key) {
  const SourcePlan plan = draw_plan(spec, key);
  tested();  // a device with memory
  Tensor targets = Tensor::zeros({plan.windows, plan.targets_per_window}, DType::i32, Device::cuda);
  Tensor sources = Tensor::zeros({plan.windows, plan.sources_per_window}, DType::i32, Device::cuda);
  cuda::draw_plan_on_device(spec, key, targets, sources);
  CHECK(same_bits(targets, Tensor::from(plan.targets, targets.shape(), Device::cpu)));
  CHECK(same_bits(sources, Tensor::from(plan.sources, sources.shape(), Device::cpu)));
}

const RngKey kKey{.seed = 0x123456789abcdef, .purpose = RngPurpose::plan, .step = 7, .layer = 3};

TEST_CASE("cuda plans are those of the host: dense and unbiased") {
  for_each_variant([] {
    for (const int64_t positions : {1, 5, 256, 3000}) {
      INFO(positions << " positions");
      check_equal_plans({.kind = PlanKind::dense, .positions = positions}, kKey);
      for (const double drop : {0.0, 0.1, 0.5, 0.9}) {
        if (std::llround((1.0 - drop) * static_cast<double>(positions)) == 0) continue;
        INFO("drop " << drop);
        check_equal_plans({.kind = PlanKind::unbiased, .positions = positions, .drop = drop},
                          kKey.with_layer(positions));
      }
    }
  });
}

TEST_CASE("cuda plans are those of the host: local windows, causal or not") {
  for_each_variant([] {
    for (const int64_t windows : {1, 7, 20}) {
      for (const double sigma : {0.0, 0.05, 1e20}) {
        for (const bool causal : {false, true}) {
          INFO(windows << " windows, sigma " << sigma << ", causal " << causal);
          check_equal_plans({.kind = PlanKind::local_1d,
                             .positions = windows * 110,
                             .causal = causal,
                             .windows = windows,
                             .sigma = sigma},
                            kKey);
        }
      }
    }
  });
}

TEST_CASE("cuda plans over a grid are refused") {
  const PlanSpec spec{.kind = PlanKind::local_2d,
                      .positions = 16,
                      .rows = 4,
                      .columns = 4,
                      .block_rows = 2,
                      .block_columns = 2};
  tested();
  Tensor targets = Tensor::zeros({1, 16}, DType::i32, Device::cuda), sources = targets;
  CHECK_THROWS_WITH(cuda::draw_plan_on_device(spec, kKey, targets, sources),
                    Catch::Contains("drawn on the host"));
}

}  // namespace
}  // namespace ssa
