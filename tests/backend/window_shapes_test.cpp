// Which windows of the cpu backend share the biases of a learned 2-D bias.

#include "backend/cpu/window_shapes.h"

#include "ssa/sampling/source_plan.h"

#include "support/tensors.h"

namespace ssa {
namespace {

constexpr int64_t kSide = 12;

PlanSpec windows_of(int64_t side, int64_t shift) {
  PlanSpec spec;
  spec.kind = PlanKind::swin_windows;
  spec.rows = spec.columns = kSide;
  spec.positions = kSide * kSide;
  spec.window_rows = spec.window_columns = spec.block_rows = spec.block_columns = side;
  spec.shift_rows = spec.shift_columns = shift;
  return spec;
}

cpu::WindowShapes shapes_of(const PlanSpec& spec) {
  const SourcePlan plan = draw_plan(spec, RngKey{});
  std::vector<int32_t> codes;
  for (int32_t p = 0; p < spec.positions; ++p) {
    codes.push_back(p / kSide * (2 * kSide - 1) + p % kSide);
  }
  const Shape targets{plan.windows, plan.targets_per_window};
  const Shape sources{plan.windows, plan.sources_per_window};
  return {{Tensor::from(plan.targets, targets, Device::cpu),
           Tensor::from(plan.sources, sources, Device::cpu)},
          codes};
}

TEST_CASE("windows that do not wrap around an edge have one shape") {
  const cpu::WindowShapes shapes = shapes_of(windows_of(4, 0));
  CHECK(shapes.count() == 1);
  CHECK(shapes.of_windows() == std::vector<int32_t>(9, 0));
}

TEST_CASE("shifted windows have four shapes: inside, right edge, lower edge, corner") {
  const cpu::WindowShapes shapes = shapes_of(windows_of(4, 1));
  CHECK(shapes.of_windows() == std::vector<int32_t>{0, 0, 1, 0, 0, 1, 2, 2, 3});
  CHECK(shapes.first_window(0) == 0);
  CHECK(shapes.first_window(1) == 2);
  CHECK(shapes.first_window(2) == 6);
  CHECK(shapes.first_window(3) == 8);
}

TEST_CASE("windows with sources of their own have shapes of their own") {
  PlanSpec spec = windows_of(4, 0);
  spec.block_rows = spec.block_columns = 2;
  spec.sigma = spec.sigma_columns = 0.75;
  const cpu::WindowShapes shapes = shapes_of(spec);
  CHECK(shapes.count() > 30);
  CHECK(shapes.of_windows().size() == 36);
}

}  // namespace
}  // namespace ssa
