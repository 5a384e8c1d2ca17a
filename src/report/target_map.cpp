#include "report/target_map.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "report/heat_map.h"
#include "report/source_map.h"

namespace ssa::report {

namespace {

/// The first of the sources of the window that `target` is in.
std::vector<int32_t>::const_iterator sources_of(const SourcePlan& plan, int64_t target) {
  const auto found = std::find(plan.targets.begin(), plan.targets.end(), target);
  const int64_t window = (found - plan.targets.begin()) / plan.targets_per_window;
  return plan.sources.begin() + window * plan.sources_per_window;
}

}  // namespace

TargetMap estimate_target_map(PlanSpec spec, const RngKey& key, int draws) {
  spec = shortened(spec);
  validate(spec);
  const int64_t columns_per_cell = std::max<int64_t>(1, spec.columns / spec.rows);
  const int64_t band_rows = spec.rows / spec.windows, band = spec.windows / 2;
  const int64_t row = band * band_rows + band_rows / 2, column = spec.columns / 2;
  const int64_t target = row * spec.columns + column;
  TargetMap map{.rows = spec.rows,
                .columns = (spec.columns + columns_per_cell - 1) / columns_per_cell,
                .target_row = row,
                .target_column = column / columns_per_cell,
                .band_begin = band * band_rows,
                .band_end = (band + 1) * band_rows,
                .draws = affordable_draws(spec, draws),
                .probability = {}};
  if (map.draws == 0) return map;
  const auto cell = [&](int64_t position) {
    return static_cast<size_t>(position / spec.columns * map.columns +
                               position % spec.columns / columns_per_cell);
  };
  std::vector<double> seen(static_cast<size_t>(map.rows * map.columns), 0.0), visible = seen;
  for (int64_t position = 0; position <= target; ++position) visible[cell(position)] += map.draws;
  RngKey step_key = key;
  for (int draw = 0; draw < map.draws; ++draw) {
    step_key.step = static_cast<uint32_t>(draw);
    const SourcePlan plan = draw_plan(spec, step_key);
    auto source = sources_of(plan, target);  // ascending
    const auto end = source + plan.sources_per_window;
    for (; source != end && *source <= target; ++source) ++seen[cell(*source)];
  }
  for (size_t i = 0; i < seen.size(); ++i) {
    map.probability.push_back(visible[i] > 0 ? seen[i] / visible[i]
                                             : std::numeric_limits<double>::quiet_NaN());
  }
  return map;
}

std::string render(const TargetMap& map, const std::string& title) {
  const auto side = [](int64_t cells) { return static_cast<double>(cells); };
  HeatMap figure{
      .title = title,
      .description = fmt::format(
          "The probability that the target in row {}, column {} may attend to each cell of the "
          "grid, from {} draws.",
          map.target_row, map.target_column, map.draws),
      .down = {"source row", static_cast<size_t>(map.rows), side(map.rows)},
      .across = {"source column", static_cast<size_t>(map.columns), side(map.columns)},
      .probability = map.probability,
      .dashed = {{side(map.band_begin), 0, side(map.band_end), side(map.columns)}},
      .solid = {{side(map.target_row), side(map.target_column), side(map.target_row + 1),
                 side(map.target_column + 1)}}};
  if (map.rows - map.target_row > map.rows / 5) {
    const double middle = side(map.rows + map.target_row + 1) / 2 / side(map.rows);
    figure.note = {"future: not visible", middle, 0.5};
  }
  return render(figure);
}

}  // namespace ssa::report
