// The sizes of a Swin transformer's stages, and the plans of its blocks.

#include <cmath>

#include "ssa/core/valid_neighbours.h"
#include "ssa/models/swin.h"

namespace ssa {

namespace {

/// Of a map's side, so that sides and widths fit into 64 bits. Pictures of 4096 pixels halve 12
/// times.
constexpr size_t max_halvings = 31;

}  // namespace

std::vector<SwinStageShape> swin_stages(const SwinShape& shape) {
  if (shape.depths.empty() || shape.depths.size() != shape.heads.size()) {
    throw ConfigError("swin: {} depths and {} numbers of heads; give both for each stage",
                      shape.depths.size(), shape.heads.size());
  }
  const size_t halvings = shape.depths.size() - 1;
  if (halvings > max_halvings) {
    throw ConfigError("swin: {} stages; at most {}, as the map's side halves between them",
                      shape.depths.size(), max_halvings + 1);
  }
  const int64_t smallest = shape.patch << halvings;
  if (shape.image_size % smallest != 0) {
    throw ConfigError(
        "swin: images of {} pixels do not divide into patches of {} and halve {} times; the "
        "nearest sizes are {}",
        shape.image_size, shape.patch, halvings, nearest_multiples(smallest, shape.image_size));
  }
  std::vector<SwinStageShape> stages;
  SwinStageShape stage{.side = shape.image_size / shape.patch, .width = shape.embed_width};
  for (size_t s = 0; s < shape.depths.size(); ++s) {
    stage.heads = shape.heads[s];
    stage.depth = shape.depths[s];
    stage.window = std::min(shape.window, stage.side);
    if (stage.width % stage.heads != 0) {
      throw ConfigError("swin: {} heads do not divide the width {} of stage {}; the nearest are {}",
                        stage.heads, stage.width, s, nearest_divisors(stage.width, stage.heads));
    }
    if (stage.side % stage.window != 0) {
      throw ConfigError(
          "swin: windows of {} do not divide the map of {} x {} in stage {}; the nearest are {}",
          stage.window, stage.side, stage.side, s, nearest_divisors(stage.side, stage.window));
    }
    stages.push_back(stage);
    stage.first_block += stage.depth;
    stage.side /= 2;
    stage.width *= 2;
  }
  return stages;
}

namespace {

/// Attention over the whole of each window.
PlanSpec window_spec(const SwinStageShape& stage, bool shifted) {
  PlanSpec spec;
  spec.kind = PlanKind::swin_windows;
  spec.positions = stage.side * stage.side;
  spec.rows = spec.columns = stage.side;
  spec.window_rows = spec.window_columns = stage.window;
  spec.block_rows = spec.block_columns = stage.window;
  spec.shift_rows = spec.shift_columns =
      shifted && stage.window < stage.side ? stage.window / 2 : 0;
  return spec;
}

/// The side of a sub-window, for `count` of them in a window.
int64_t sub_window_side(int64_t window, int64_t count) {
  const auto across = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(count))));
  if (across < 1 || across * across != count || window % across != 0) {
    std::string valid;
    for (int64_t n = 1; n <= window; ++n) {
      if (window % n == 0) valid += fmt::format("{}{}", valid.empty() ? "" : ", ", n * n);
    }
    throw ConfigError("{} sub-windows do not tile a window of {} x {} with squares; valid: {}",
                      count, window, window, valid);
  }
  return window / across;
}

}  // namespace

std::vector<PlanSpec> swin_plan_specs(const SwinShape& shape, const SsaConfig& ssa) {
  std::vector<PlanSpec> specs;
  std::vector<size_t> can_sample;
  for (const SwinStageShape& stage : swin_stages(shape)) {
    for (int64_t i = 0; i < stage.depth; ++i) {
      if (stage.window == shape.window) can_sample.push_back(specs.size());
      specs.push_back(window_spec(stage, i % 2 == 1));
    }
  }
  if (ssa.kind == SsaKind::none) return specs;
  if (can_sample.empty()) {
    throw ConfigError(
        "model.swin.window: no map has whole windows of {} x {}, so no block can be sampled; lower "
        "model.swin.window, or set ssa.kind to none",
        shape.window, shape.window);
  }
  const size_t sampled = ssa.layers == 0 ? can_sample.size() : static_cast<size_t>(ssa.layers);
  if (sampled > can_sample.size()) {
    throw ConfigError(
        "ssa.layers: {}, but {} blocks have whole windows of {} x {} and can be sampled; valid: 0 "
        "(all of these) to {}",
        sampled, can_sample.size(), shape.window, shape.window, can_sample.size());
  }
  for (size_t i = 0; i < sampled; ++i) {
    const double along =
        sampled > 1 ? static_cast<double>(i) / static_cast<double>(sampled - 1) : 0.0;
    PlanSpec& spec = specs[can_sample[can_sample.size() - sampled + i]];
    if (ssa.kind == SsaKind::unbiased) {
      spec.kind = PlanKind::unbiased_swin_windows;
      spec.drop = ssa.drop;
    } else {
      spec.block_rows = spec.block_columns = sub_window_side(shape.window, ssa.windows);
      spec.sigma = spec.sigma_columns =
          ssa.sigma.first + along * (ssa.sigma.last - ssa.sigma.first);
    }
    validate(spec);
  }
  return specs;
}

}  // namespace ssa
