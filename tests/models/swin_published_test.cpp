// What Swin's published code does in its own way, and ssa in another.

#include <cmath>
#include <cstdlib>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/models/decoder_plans.h"
#include "ssa/models/swin.h"

#include "support/tensors.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

SwinShape windows_of(int64_t window) {
  SwinShape shape;
  shape.window = window;
  return shape;
}

/// Published: the shifted map is cut into 3 × 3 regions, and a pair of one window is visible if
/// both are in one region. `cell` is a row or a column of the map.
int64_t region(int64_t cell, const PlanSpec& spec) {
  const int64_t side = spec.rows, shift = spec.shift_rows;
  const int64_t shifted = (cell - shift + side) % side;
  if (shift == 0 || shifted < side - spec.window_rows) return 0;
  return shifted < side - shift ? 1 : 2;
}

}  // namespace

TEST_CASE("a table of a window's size masks what Swin's mask of regions masks") {
  for (const int64_t window : {7, 14}) {
    for (const PlanSpec& spec : swin_plan_specs(windows_of(window), {})) {
      const SourcePlan plan = draw_plan(spec, {.purpose = RngPurpose::plan});
      const int64_t cells = spec.window_rows * spec.window_columns, side = spec.columns;
      REQUIRE(plan.targets_per_window == cells);
      int64_t wrong = 0;
      for (int64_t w = 0; w < plan.windows; ++w) {
        for (int64_t pair = 0; pair < cells * cells; ++pair) {
          const int64_t i = plan.targets[static_cast<size_t>(w * cells + pair / cells)];
          const int64_t j = plan.sources[static_cast<size_t>(w * cells + pair % cells)];
          const bool reached = std::abs(i / side - j / side) < spec.window_rows &&
                               std::abs(i % side - j % side) < spec.window_columns;
          const bool together = region(i / side, spec) == region(j / side, spec) &&
                                region(i % side, spec) == region(j % side, spec);
          wrong += reached != together ? 1 : 0;
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("what Swin exempts from weight decay are biases, norms and bias tables") {
  ParameterStore store = ParameterStore::dry();
  const Swin model(windows_of(14), store);
  for (const Parameter& parameter : store.all()) {
    const std::string& name = parameter.name;
    const bool exempt = name.ends_with(".bias") || name.ends_with(".relative_bias") ||
                        name.find("norm") != std::string::npos;
    INFO(name);
    CHECK(parameter.decayed != exempt);
  }
}

TEST_CASE("a branch that drop path leaves in is as much stronger as it is seldom") {
  // One block behind one that never drops: what it adds to the logits, averaged over many draws, is
  // what it adds without drop path.
  constexpr double kDrop = 0.3;
  constexpr uint32_t kDraws = 4000;
  constexpr int64_t kImages = 3;
  const SwinShape shape{.image_size = 8,
                        .patch = 2,
                        .embed_width = 4,
                        .depths = {1},
                        .heads = {1},
                        .window = 4,
                        .ffn_ratio = 1,
                        .drop_path = kDrop,
                        .classes = 2};
  ParameterStore store(Device::reference, DType::f64, 1);
  const SwinStageShape stage = swin_stages(shape).front();
  const SwinBlock block(store, "block", stage, 1, kDrop);
  for (const Parameter& parameter : store.all()) {  // the second branch adds nothing
    if (!parameter.name.starts_with("block.ffn.down")) continue;
    Tensor value = parameter.variable.value();
    backend(value.device()).fill(value, 0.0);
  }
  const Tensor in = random_f64({kImages * 16, 4}, 3);
  nn::AttentionInput input;
  input.batch = kImages;
  input.length = 16;
  input.grid_columns = 4;
  input.plan = to_tensors(draw_plans(swin_plan_specs(shape, {}), RngKey{}), Device::reference)[0];
  const auto out = [&](const nn::Context& context) {
    return values(block(Variable(in), input, context, 1, Checkpointing::none).value());
  };
  const std::vector<double> plain = out({}), before = values(in);
  std::vector<int64_t> kept(kImages);
  const size_t numbers = plain.size() / kImages;
  for (uint32_t step = 0; step < kDraws; ++step) {
    const std::vector<double> now = out({.training = true, .key = {.seed = 2, .step = step}});
    for (size_t image = 0; image < kImages; ++image) {
      const bool dropped = now[image * numbers] == before[image * numbers];
      kept[image] += dropped ? 0 : 1;
      for (size_t i = image * numbers; i < (image + 1) * numbers; ++i) {
        const double branch = (plain[i] - before[i]) / (1 - kDrop);
        REQUIRE(now[i] - before[i] == Approx(dropped ? 0 : branch).margin(1e-12));
      }
    }
  }
  const double deviation = std::sqrt(kDraws * kDrop * (1 - kDrop));
  for (const int64_t count : kept) {
    CHECK(std::abs(static_cast<double>(count) - kDraws * (1 - kDrop)) < 4 * deviation);
  }
}
