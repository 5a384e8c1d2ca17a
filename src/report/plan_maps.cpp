#include "report/plan_maps.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/source_map.h"
#include "report/target_map.h"

namespace ssa::report {

namespace {

bool is_unbiased(const PlanSpec& spec) {
  return spec.kind == PlanKind::unbiased || spec.kind == PlanKind::unbiased_swin_windows;
}

/// Whether two layers of a run have the same distribution of plans.
bool draw_alike(const PlanSpec& a, const PlanSpec& b) {
  return a.positions == b.positions && is_shifted(a) == is_shifted(b) &&
         (is_unbiased(a) || a.sigma == b.sigma);
}

std::string counted(int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string layer_title(const PlanSpec& spec, size_t layer) {
  const std::string noise = is_unbiased(spec) ? fmt::format("{:.4g}% dropped", 100 * spec.drop)
                                              : fmt::format("σ\u00a0{:.4g}", spec.sigma);
  std::string windows;
  if (has_swin_windows(spec)) {
    const int64_t cells = spec.window_rows * spec.window_columns;
    windows = counted(spec.positions / cells, "window");
    const int64_t parts = is_unbiased(spec) ? 1 : cells / (spec.block_rows * spec.block_columns);
    if (parts > 1) windows += fmt::format(" of {}", counted(parts, "sub-window"));
    windows += ", ";
  } else if (!is_unbiased(spec)) {
    windows = counted(spec.windows, is_grid(spec) ? "band" : "window") + ", ";
  }
  return fmt::format("Layer {}: {}{}", layer + 1, windows, noise);
}

/// The map of all targets, and for a grid the one around a single target. Positions on the map of a
/// Swin transformer say little in a row: it has the latter only.
std::string maps_of_layer(const PlanSpec& spec, size_t layer, const RngKey& key, int draws) {
  const std::string title = layer_title(spec, layer);
  std::string html;
  if (!has_swin_windows(spec)) {
    const SourceMap map = estimate_source_map(spec, key, draws);
    if (map.draws > 0) html += render(map, title);
  }
  if (!has_target_map(spec)) return html;
  const TargetMap around = estimate_target_map(spec, key, draws);
  if (around.draws == 0) return html;
  return html + render(around, html.empty()
                                   ? title
                                   : fmt::format("Layer {}: around one target", layer + 1));
}

}  // namespace

std::string plan_maps(const std::vector<PlanSpec>& specs, size_t first_layer, const RngKey& key,
                      int draws) {
  const auto shifted = std::find_if(specs.begin(), specs.end(), is_shifted);
  const auto first = static_cast<size_t>(shifted == specs.end() ? 0 : shifted - specs.begin());
  const size_t last = specs.size() - 1;
  std::string html;
  for (const size_t i : {first, last}) {
    if (i != last && draw_alike(specs[i], specs[last])) continue;
    const size_t layer = first_layer + i;
    html += maps_of_layer(specs[i], layer, key.with_layer(static_cast<int64_t>(layer)), draws);
    if (first == last) break;
  }
  return html;
}

}  // namespace ssa::report
