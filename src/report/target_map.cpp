#include "report/target_map.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "report/heat_map.h"
#include "report/source_map.h"

namespace ssa::report {

namespace {

using Area = TargetMap::Area;

/// A target, and what it has around it.
struct View {
  int64_t row = 0, column = 0;
  Area own;     // without noise
  Area window;  // that its sources are drawn from
  bool causal = false;
};

View view_in_band(const PlanSpec& spec) {
  const int64_t height = spec.rows / spec.windows, top = spec.windows / 2 * height;
  return {.row = top + height / 2,
          .column = spec.columns / 2,
          .own = {top, 0, top + height, spec.columns},
          .window = {0, 0, spec.rows, spec.columns},
          .causal = true};
}

/// Areas of a shifted grid may extend beyond the last row or column. If they do, the window is as
/// long as the grid, so that no pair in it is too far apart for the learned 2-D bias.
View view_in_swin_window(const PlanSpec& spec) {
  const auto middle = [](int64_t extent, int64_t window, int64_t shift) {
    return (extent / window - 1) / 2 * window + shift;
  };
  const int64_t top = middle(spec.rows, spec.window_rows, spec.shift_rows);
  const int64_t left = middle(spec.columns, spec.window_columns, spec.shift_columns);
  const bool local = spec.kind == PlanKind::swin_windows;
  const int64_t height = local ? spec.block_rows : spec.window_rows;
  const int64_t width = local ? spec.block_columns : spec.window_columns;
  return {.row = (top + height / 2) % spec.rows,
          .column = (left + width / 2) % spec.columns,
          .own = {top, left, top + height, left + width},
          .window = {top, left, top + spec.window_rows, left + spec.window_columns}};
}

/// Whether a cell is in begin … end-1 of a line of `extent` cells that begins again behind its end.
bool inside(int64_t cell, int64_t begin, int64_t end, int64_t extent) {
  return (cell >= begin && cell < end) || cell + extent < end;
}

bool visible(const PlanSpec& spec, const View& view, int64_t position) {
  const int64_t row = position / spec.columns, column = position % spec.columns;
  if (view.causal) return position <= view.row * spec.columns + view.column;
  return inside(row, view.window.top, view.window.bottom, spec.rows) &&
         inside(column, view.window.left, view.window.right, spec.columns);
}

/// The parts of begin … end-1 on a line of `extent` cells that begins again behind its end.
std::vector<std::pair<int64_t, int64_t>> parts(int64_t begin, int64_t end, int64_t extent) {
  if (begin >= extent) return {{begin - extent, end - extent}};
  if (end <= extent) return {{begin, end}};
  return {{begin, extent}, {0, end - extent}};
}

/// `area` in cells of the map, cut where it goes beyond an edge of the grid.
std::vector<Area> on_map(const Area& area, const PlanSpec& spec, int64_t columns_per_cell) {
  std::vector<Area> areas;
  for (const auto& [top, bottom] : parts(area.top, area.bottom, spec.rows)) {
    for (const auto& [left, right] : parts(area.left, area.right, spec.columns)) {
      areas.push_back({top, left / columns_per_cell, bottom,
                       (right + columns_per_cell - 1) / columns_per_cell});
    }
  }
  return areas;
}

/// The first of the sources of the window that `target` is in.
std::vector<int32_t>::const_iterator sources_of(const SourcePlan& plan, int64_t target) {
  const auto found = std::find(plan.targets.begin(), plan.targets.end(), target);
  const int64_t window = (found - plan.targets.begin()) / plan.targets_per_window;
  return plan.sources.begin() + window * plan.sources_per_window;
}

}  // namespace

bool has_target_map(const PlanSpec& spec) { return is_grid(spec) || has_swin_windows(spec); }

TargetMap estimate_target_map(PlanSpec spec, const RngKey& key, int draws) {
  spec = shortened(spec);
  validate(spec);
  const View view = has_swin_windows(spec) ? view_in_swin_window(spec) : view_in_band(spec);
  const int64_t columns_per_cell = std::max<int64_t>(1, spec.columns / spec.rows);
  TargetMap map{.rows = spec.rows,
                .columns = (spec.columns + columns_per_cell - 1) / columns_per_cell,
                .target_row = view.row,
                .target_column = view.column / columns_per_cell,
                .own = on_map(view.own, spec, columns_per_cell),
                .hidden = view.causal ? "future" : "other windows",
                .hidden_from = view.causal ? view.row + 1 : view.window.bottom,
                .draws = affordable_draws(spec, draws),
                .probability = {}};
  if (map.draws == 0) return map;
  const auto cell = [&](int64_t position) {
    return static_cast<size_t>(position / spec.columns * map.columns +
                               position % spec.columns / columns_per_cell);
  };
  std::vector<double> seen(static_cast<size_t>(map.rows * map.columns), 0.0), possible = seen;
  for (int64_t position = 0; position < spec.positions; ++position) {
    if (visible(spec, view, position)) possible[cell(position)] += map.draws;
  }
  RngKey step_key = key;
  for (int draw = 0; draw < map.draws; ++draw) {
    step_key.step = static_cast<uint32_t>(draw);
    const SourcePlan plan = draw_plan(spec, step_key);
    const auto first = sources_of(plan, view.row * spec.columns + view.column);
    std::for_each(first, first + plan.sources_per_window, [&](int64_t source) {
      if (visible(spec, view, source)) ++seen[cell(source)];
    });
  }
  for (size_t i = 0; i < seen.size(); ++i) {
    map.probability.push_back(possible[i] > 0 ? seen[i] / possible[i]
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
      .solid = {{side(map.target_row), side(map.target_column), side(map.target_row + 1),
                 side(map.target_column + 1)}}};
  for (const Area& area : map.own) {
    figure.dashed.push_back({side(area.top), side(area.left), side(area.bottom), side(area.right)});
  }
  if (map.hidden_from < map.rows - map.rows / 5) {
    const double middle = side(map.rows + map.hidden_from) / 2 / side(map.rows);
    figure.note = {map.hidden + ": not visible", middle, 0.5};
  }
  return render(figure);
}

}  // namespace ssa::report
